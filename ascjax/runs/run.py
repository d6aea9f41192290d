"""A finished run, opened: its results and posteriors, scored again in other ways."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ascjax.audio.frontend import FrontEnd
from ascjax.errors import UserError, choose
from ascjax.files import TEST_AGAIN, as_path, read_json
from ascjax.runs.folder import (
    RunResults,
    TestPosteriors,
    Trained,
    is_exported,
    read_posteriors,
    read_results,
    read_run,
    read_trained,
    restore_front_end,
)
from ascjax.runs.info import RunInfo
from ascjax.scoring import open_set
from ascjax.scoring.calibration import temper
from ascjax.scoring.fusion import METHODS, Fusion, fuse
from ascjax.scoring.results import Results, score


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      path: its folder.
      info: how it was made (run.json).
      trained: what came of training, with the results of the test part if there is one
        (results.json).
      known_posteriors: what `test_posteriors` would read, if it is in memory.
    """

    path: Path
    info: RunInfo
    trained: Trained | RunResults
    known_posteriors: TestPosteriors | None = field(default=None, compare=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Run":
        """Opens the folder of a finished run; nothing is written there.

        Raises:
          UserError: there is none, it may not be entered, isn't finished, is damaged, or of
            another format.
        """
        folder = as_path(path)
        if not folder.is_dir():
            raise UserError(f"{folder}: expected the folder of a run, there is none")
        trained, info = read_trained(folder), read_run(folder)
        if isinstance(trained, RunResults) and (trained.scenes, trained.channels) != (
            info.scenes,
            info.channels,
        ):
            raise UserError(
                f"{folder / 'results.json'}: its scenes or channels aren't those of run.json; "
                f"{TEST_AGAIN}"
            )
        return cls(folder, info, trained)

    def __repr__(self) -> str:
        model, said = self.info.model, "trained on every recording"
        if self.tested:
            accuracy = self.results.accuracy
            said = f"{accuracy.correct:,} of {accuracy.total:,} test recordings right"
        return f"Run({str(self.path)!r}: {model.trunk}, head {model.head}, {said})"

    @property
    def tested(self) -> bool:
        """Whether there is a test part."""
        return isinstance(self.trained, RunResults)

    @property
    def results(self) -> RunResults:
        """Results of its test part.

        Raises:
          UserError: it has none, as it was trained on every recording.
        """
        return self.trained if isinstance(self.trained, RunResults) else read_results(self.path)

    @cached_property
    def front_end(self) -> FrontEnd:
        """What turned waveforms into the network's input."""
        return restore_front_end(self.path, self.info)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config (config.json)."""
        return read_json(self.path / "config.json")

    @cached_property
    def test_posteriors(self) -> TestPosteriors:
        """Posteriors of the test part with their labels and names (posteriors.npz)."""
        if is_exported(self.path):
            raise UserError(
                f"{self.path}: is an exported network, without the posteriors of a test part; give "
                "the run that it was made from"
            )
        return self.known_posteriors or read_posteriors(self.path, self.results)

    @property
    def posteriors(self) -> np.ndarray:
        """Posteriors of the test part, float32 [recording, channel, fragment, scene]."""
        return self.test_posteriors.posteriors

    def rescore(
        self,
        *,
        fusion: str | None = None,
        channel_fusion: str | None = None,
        channels: Sequence[str] | str | None = None,
        posteriors: np.ndarray | None = None,
    ) -> Results:
        """Scores the test posteriors as if they had been fused otherwise; no model is run.

        Args:
          fusion: how fragments are fused, a key of ``fusion.METHODS``; None, here and below: as in
            the run.
          channel_fusion: how channels are fused after that.
          channels: some of the run's, e.g. ``["left", "right"]`` or ``"left,right"``.
          posteriors: others of the same recordings and channels, in the run's order; results with
            recordings of none of the scenes are left out then.

        Raises:
          UserError: an unknown name, or posteriors.npz is missing or damaged.
        """
        run, stored = self.results, self.test_posteriors
        methods = fusion or run.fusion.fragments, channel_fusion or run.fusion.channels
        for what, method in zip(("fragments", "channels"), methods, strict=True):
            choose(f"fusion of {what}", method, METHODS)
        by = Fusion(*methods)
        names = channels.split(",") if isinstance(channels, str) else channels
        indices = {name: index for index, name in enumerate(run.channels)}
        wanted = run.channels if names is None else names
        chosen = sorted({choose("channel", name, indices) for name in wanted})
        if not chosen:
            raise UserError(f"expected one or more channels of {', '.join(run.channels)}, got none")
        values = stored.posteriors if posteriors is None else posteriors
        results = score(
            values[:, chosen],
            stored.label,
            names=stored.recording.tolist(),
            scenes=run.scenes,
            channels=[run.channels[index] for index in chosen],
            cities=stored.city.tolist(),
            devices=stored.device.tolist(),
            locations=stored.location.tolist(),
            trained_devices=self.info.devices,
            by=by,
        )
        if posteriors is not None or run.open_set is None:
            return results
        assert run.calibration is not None
        assert stored.unknown is not None
        scores, unknown = (
            temper(fuse(each[:, chosen], **asdict(by)), run.calibration.temperature)
            for each in (values, stored.unknown)
        )
        opened = open_set.measure(scores, stored.label, unknown, run.open_set.threshold)
        return replace(results, open_set=opened)
