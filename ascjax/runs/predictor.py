"""A classifier of any recordings, from run folders alone: without data set or config file."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from ascjax.audio import wave
from ascjax.audio.windows import Waveform, Window, windows
from ascjax.data.fragments import layout
from ascjax.errors import UserError
from ascjax.files import as_path
from ascjax.runs.network import TrainedNetwork, restore
from ascjax.runs.run import Run
from ascjax.scoring.calibration import temper
from ascjax.scoring.fusion import fuse

Source = str | os.PathLike[str] | Waveform
# Windows whose log-mels are held in memory, and go through the network together.
WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class Scored:
    """Scores of a stretch of sound.

    Attributes:
      start_s, end_s: where it lies in the recording.
      scores: by scene, summing to 1.
      scene, score: the largest of them.
    """

    start_s: float
    end_s: float
    scores: dict[str, float]

    @property
    def scene(self) -> str:
        """The scene with the largest score."""
        return max(self.scores, key=self.scores.__getitem__)

    @property
    def score(self) -> float:
        """The largest score."""
        return self.scores[self.scene]


@dataclass(frozen=True)
class Prediction(Scored):
    """The decision on a recording: the mean of its windows' scores.

    Attributes:
      source: the file, or ``array``.
      windows: scores of each window, in order.
      note: what was done to the recording to fit the network, or empty.
    """

    source: str
    windows: tuple[Scored, ...]
    note: str = ""

    def __repr__(self) -> str:
        return f"Prediction({self.source}: {self.scene} {100 * self.score:.1f} %)"


@dataclass(frozen=True)
class Classifier:
    """Trained networks with all that it takes to apply them; made by `load`.

    Attributes:
      runs: one, or those of a set's folds, whose scores are averaged.
    """

    runs: tuple[Run, ...]

    def __repr__(self) -> str:
        model = self.runs[0].info.model
        folds = f"{len(self.runs)} folds of " if len(self.runs) > 1 else ""
        return (
            f"Classifier({folds}{model.trunk}, head {model.head}, {len(self.scenes)} scenes, "
            f"{self.window_s:g} s windows at {self.sample_rate_hz:,} Hz)"
        )

    @property
    def scenes(self) -> tuple[str, ...]:
        """Scenes in the order of posteriors and scores."""
        return self.runs[0].info.scenes

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels in the order of posteriors."""
        return self.runs[0].info.channels

    @property
    def sample_rate_hz(self) -> int:
        """Rate that recordings are resampled to."""
        return self.runs[0].front_end.sample_rate_hz

    @property
    def window_s(self) -> float:
        """Seconds of a window: as long as the recordings that the networks were trained on."""
        return self.runs[0].info.duration_s

    @cached_property
    def _networks(self) -> list[TrainedNetwork]:
        return [restore(run) for run in self.runs]

    def predict(
        self, recordings: Source | Sequence[Source], *, hop_s: float | None = None
    ) -> "Prediction | list[Prediction]":
        """Scores recordings of any length, window by window.

        Args:
          recordings: a path, an array with its rate, or a list of these.
          hop_s: seconds from one window to the next; by default a window's length. A recording
            shorter than a window is repeated to fill it.

        Returns:
          A prediction, or a list of them for a list.

        Raises:
          BadRecording: a file can't be read, or an array isn't a waveform.
          UserError: an empty list, or what is neither a path nor an array with a rate.

        Example:
          >>> import ascjax, numpy as np
          >>> classifier = ascjax.load("esc10")
          >>> silence = np.zeros(5 * 44_100, np.float32)
          >>> prediction = classifier.predict((silence, 44_100))
          >>> len(prediction.scores), prediction.scene in classifier.scenes
          (10, True)
        """
        if _is_source(recordings):
            return self._predict(recordings, hop_s)  # type: ignore[arg-type]
        return [self._predict(each, hop_s) for each in _listed(recordings)]

    def posteriors(
        self, recordings: Source | Sequence[Source]
    ) -> Float32[np.ndarray, "recording channel fragment scene"]:
        """Returns the posteriors of each recording's first window, the mean over folds' networks.

        Args, Raises: as `predict`.
        """
        sources = [recordings] if _is_source(recordings) else _listed(recordings)
        first = [next(self._windows(each, None)) for each in sources]  # type: ignore[arg-type]
        log_mels = np.stack([self._log_mels(window) for window in first])
        return self.of_log_mels(log_mels)[0].mean(axis=0)

    def embed(
        self, recordings: Source | Sequence[Source], *, hop_s: float | None = None
    ) -> Float32[np.ndarray, "window feature"]:
        """Returns the pooled feature map of each window, the mean over channels and fragments.

        The features of several networks, those of folds, are concatenated. Args, Raises: as
        `predict`.
        """
        sources = [recordings] if _is_source(recordings) else _listed(recordings)
        embeddings = []
        for source in sources:
            for batch in _batches(self._windows(source, hop_s), WINDOWS_AT_ONCE):  # type: ignore[arg-type]
                log_mels = np.stack([self._log_mels(window) for window in batch])
                embeddings.append(np.concatenate(self.of_log_mels(log_mels)[1], axis=-1))
        return np.concatenate(embeddings)

    def of_log_mels(
        self, log_mels: Float32[np.ndarray, "window channel mel frame"]
    ) -> tuple[
        Float32[np.ndarray, "run window channel fragment scene"],
        Float32[np.ndarray, "run window feature"],
    ]:
        """Returns each network's posteriors and embeddings of windows."""
        info = self.runs[0].info
        count, channels, num_mels, num_frames = log_mels.shape
        width, starts = layout(num_frames, info.fragments, info.overlap)
        cut = np.stack([log_mels[..., start : start + width] for start in starts], axis=2)
        examples = cut.reshape(-1, num_mels, width, 1)
        # Full batches share one compiled program; a single window has its own, for live sound.
        padded = 1 if count == 1 else WINDOWS_AT_ONCE
        missing = (padded - count) * channels * info.fragments
        examples = np.pad(examples, [(0, missing), (0, 0), (0, 0), (0, 0)])
        kept = count * channels * info.fragments
        posteriors, embeddings = zip(
            *((p[:kept], e[:kept]) for p, e in (net(examples) for net in self._networks)),
            strict=True,
        )
        shape = (len(self.runs), count, channels, info.fragments)
        by_window = np.stack(embeddings).reshape(*shape, -1).mean(axis=(2, 3))
        return np.stack(posteriors).reshape(*shape, -1), by_window

    def scores(
        self, posteriors: Float32[np.ndarray, "run window channel fragment scene"]
    ) -> Float[np.ndarray, "window scene"]:
        """Returns calibrated scores of windows: fused as each run was, the mean over runs."""
        by_run = []
        for run, values in zip(self.runs, posteriors, strict=True):
            by, calibration = run.info.fusion, run.results.calibration
            fused = fuse(values, fragments=by.fragments, channels=by.channels)
            by_run.append(fused if calibration is None else temper(fused, calibration.temperature))
        return np.mean(by_run, axis=0)

    def timeline(self, source: Source, *, hop_s: float | None = None) -> Iterator[Scored]:
        """Yields the scores of each window of a recording, in order; see `predict`."""
        for batch in _batches(self._windows(source, hop_s), WINDOWS_AT_ONCE):
            log_mels = np.stack([self._log_mels(window) for window in batch])
            scores = self.scores(self.of_log_mels(log_mels)[0])
            for window, row in zip(batch, scores, strict=True):
                end_s = window.start_s + window.samples.shape[1] / self.sample_rate_hz
                named = dict(zip(self.scenes, row.tolist(), strict=True))
                yield Scored(window.start_s, end_s, named)

    def _predict(self, source: Source, hop_s: float | None) -> Prediction:
        timeline = tuple(self.timeline(source, hop_s=hop_s))
        means = {
            scene: float(np.mean([each.scores[scene] for each in timeline]))
            for scene in self.scenes
        }
        duration_s, note = timeline[-1].end_s, ""
        if duration_s < self.window_s - 0.005:
            note = f"{duration_s:.2f} s long, repeated to fill {self.window_s:g} s"
        name = "array" if isinstance(source, tuple) else os.fspath(source)
        return Prediction(0.0, duration_s, means, name, timeline, note)

    def _windows(self, source: Source, hop_s: float | None) -> Iterator[Window]:
        rate = self.sample_rate_hz
        size = round(self.window_s * rate)
        hop = size if hop_s is None else round(hop_s * rate)
        if hop < 1:
            raise UserError(f"hop_s: expected more than 0 seconds, got {hop_s}")
        return windows(source, sample_rate_hz=rate, window_samples=size, hop_samples=hop)

    def _log_mels(self, window: Window) -> Float32[np.ndarray, "channel mel frame"]:
        size = round(self.window_s * self.sample_rate_hz)
        missing = size - window.samples.shape[1]
        samples = np.pad(window.samples, ((0, 0), (0, missing)), mode="wrap")
        return self.runs[0].front_end(samples, wave.shares(self.channels, len(samples)))


def load(run: str | os.PathLike[str]) -> Classifier:
    """Loads a classifier from the folder of a finished run, or of the runs of a set's folds.

    Args:
      run: the folder; or the name of a network that comes with the package, such as ``esc10``.

    Raises:
      UserError: there is no such run, it isn't finished, is damaged or of another format.
    """
    folder = as_path(run)
    if not folder.exists() and (shipped := SHIPPED / folder).is_dir():
        folder = shipped
    members = sorted(path.parent for path in folder.glob("fold*/results.json"))
    if (folder / "results.json").exists() or not members:
        return Classifier((Run.open(folder),))
    runs = tuple(Run.open(member) for member in members)
    for other in runs[1:]:
        for name in ("scenes", "channels", "fragments", "overlap", "duration_s", "front_end"):
            if getattr(other.info, name) != getattr(runs[0].info, name):
                raise UserError(
                    f"{other.path}: its {name} aren't those of {runs[0].path}; folds of one run "
                    "folder must agree"
                )
    return Classifier(runs)


SHIPPED = Path(__file__).parents[1] / "shipped"


def _is_source(value: object) -> bool:
    if isinstance(value, str | os.PathLike):
        return True
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], np.ndarray)


def _listed(recordings: object) -> list[Source]:
    if isinstance(recordings, Iterable) and not isinstance(recordings, np.ndarray):
        sources = list(recordings)
        if sources and all(map(_is_source, sources)):
            return sources
        if not sources:
            raise UserError("expected one or more recordings, got an empty list")
    raise UserError(
        "expected a path, an array with its sample rate, (samples, rate), or a list of these, got "
        f"{recordings!r:.60}"
    )


def _batches(items: Iterable[Window], size: int) -> Iterator[list[Window]]:
    batch: list[Window] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
