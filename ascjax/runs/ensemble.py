"""A run's network, or those of a set's folds, applied to the windows of recordings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Float32

from ascjax.audio.frontend import FrontEnd
from ascjax.audio.quality import SILENCE_DB
from ascjax.data.fragments import layout
from ascjax.runs import novelty
from ascjax.runs.reading import Failed, Input, Waveform, batches
from ascjax.runs.run import Run
from ascjax.runs.verdict import NOVEL, SILENT
from ascjax.scoring.calibration import temper
from ascjax.scoring.fusion import fuse
from ascjax.scoring.novelty import NoveltyModel

if TYPE_CHECKING:
    from ascjax.runs.network import TrainedNetwork


@dataclass(frozen=True)
class Heard:
    """A window after the networks.

    Attributes:
      recording: its index among those that are read.
      start_s, end_s: where the window lies in it.
      posteriors: float32 [run, channel, fragment, scene].
      embedding: float32 [feature], of all networks in turn.
      unknown: why its scores mean nothing: ``silence``, ``novel`` or empty.
    """

    recording: int
    start_s: float
    end_s: float
    posteriors: np.ndarray
    embedding: np.ndarray
    unknown: str


@dataclass(frozen=True)
class Ensemble:
    """Networks that share scenes, channels, fragments and front end.

    Attributes:
      runs: their folders.
      batch: examples (windows × channels × fragments) that go through a network together.
    """

    runs: tuple[Run, ...]
    batch: int = 16

    @property
    def front_end(self) -> FrontEnd | Waveform:
        """What makes a network's input of a waveform."""
        return self.runs[0].front_end

    @cached_property
    def _networks(self) -> "list[TrainedNetwork]":
        # JAX takes a second to import, during which the first windows are read.
        from ascjax.runs.network import restore

        return [restore(run) for run in self.runs]

    @cached_property
    def _novelty(self) -> list[NoveltyModel | None]:
        return [novelty.read(run.path) for run in self.runs]

    @property
    def windows_at_once(self) -> int:
        """How many windows fill a batch."""
        info = self.runs[0].info
        return max(1, self.batch // (len(info.channels) * info.fragments))

    def load(self) -> None:
        """Loads the networks, which takes a while; otherwise the first window does."""
        _ = self._networks

    def hear(self, inputs: Iterable[Input | Failed], at_once: int) -> Iterator[Heard | Failed]:
        """Applies the networks to windows, ``at_once`` of them together; failures pass through."""
        self.load()
        for batch in batches(inputs, at_once):
            windows = [item for item in batch if isinstance(item, Input)]
            heard = iter(self._apply(windows)) if windows else iter(())
            for item in batch:
                yield item if isinstance(item, Failed) else next(heard)

    def _apply(self, windows: list[Input]) -> list[Heard]:
        posteriors, embeddings, novel = self.networks([window.values for window in windows])
        return [
            Heard(
                window.recording,
                window.start_s,
                window.end_s,
                posteriors[:, index],
                embeddings[index],
                SILENT if window.level_db < SILENCE_DB else NOVEL if novel[index] else "",
            )
            for index, window in enumerate(windows)
        ]

    def networks(
        self, values: Sequence[np.ndarray]
    ) -> tuple[
        Float32[np.ndarray, "run window channel fragment scene"],
        Float32[np.ndarray, "window feature"],
        Bool[np.ndarray, " window"],
    ]:
        """Returns posteriors and features of windows, and whether they are novel."""
        posteriors, features, statistics = self._of_log_mels(np.stack(values))
        return posteriors, np.concatenate(features, axis=1), self._novel(features, statistics)

    def _of_log_mels(
        self, log_mels: Float32[np.ndarray, "window channel mel frame"]
    ) -> tuple[
        Float32[np.ndarray, "run window channel fragment scene"],
        list[Float32[np.ndarray, "window _"]],
        list[Float32[np.ndarray, "window _"]],
    ]:
        """Returns each network's posteriors, features and statistics of windows."""
        info = self.runs[0].info
        count, channels, num_mels, num_frames = log_mels.shape
        width, starts = layout(num_frames, info.fragments, info.overlap)
        cut = np.stack([log_mels[..., start : start + width] for start in starts], axis=2)
        examples = cut.reshape(-1, num_mels, width, 1)
        # Two compiled programs: a full batch's, and one of a single window for live sound.
        padded = 1 if count == 1 else self.windows_at_once
        missing = (padded - count) * channels * info.fragments
        examples = np.pad(examples, [(0, missing), (0, 0), (0, 0), (0, 0)])
        kept, shape = count * channels * info.fragments, (count, channels, info.fragments, -1)
        results = [network(examples) for network in self._networks]
        posteriors, features, statistics = (
            [values[:kept].reshape(shape) for values in of_networks]
            for of_networks in zip(*results, strict=True)
        )
        return (
            np.stack(posteriors),
            [values.mean(axis=(1, 2)) for values in features],
            [values.mean(axis=(1, 2)) for values in statistics],
        )

    def _novel(self, features: list[np.ndarray], statistics: list[np.ndarray]) -> np.ndarray:
        """Whether windows are novel: by the mean over runs of `novelty.novelty_of`."""
        distances = [
            novelty.novelty_of(of_run, statistics_of_run, model)
            for of_run, statistics_of_run, model in zip(
                features, statistics, self._novelty, strict=True
            )
            if model is not None
        ]
        if not distances:
            return np.zeros(len(features[0]), bool)
        return np.mean(distances, axis=0) > 1

    def scores(
        self, posteriors: Float[np.ndarray, "run channel fragment scene"]
    ) -> Float[np.ndarray, " scene"]:
        """Returns the calibrated scores of a window or recording, the mean over runs.

        Each run's posteriors are fused as the run was, then tempered.
        """
        by_run = []
        for run, values in zip(self.runs, posteriors, strict=True):
            by, calibration = run.info.fusion, run.trained.calibration
            fused = fuse(values[None], fragments=by.fragments, channels=by.channels)
            by_run.append(fused if calibration is None else temper(fused, calibration.temperature))
        return np.mean(by_run, axis=0)[0]
