"""Decisions on recordings from their windows' scores, and when the answer is "unknown"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNKNOWN = "unknown"
# Reasons for it.
SILENT, NOVEL, UNSURE = "silence", "novel", "low score"


@dataclass(frozen=True, repr=False)
class Scored:
    """Scores of a stretch of sound.

    Attributes:
      start_s, end_s: where it lies in the recording.
      scores: by scene, summing to 1.
      unknown: why there is no answer: ``silence``, ``novel`` (unlike all that was trained on),
        ``low score``, or empty if there is one.
      channel, fragment: the one that was scored alone, fragments from 1; empty and 0 if all were
        fused.
    """

    start_s: float
    end_s: float
    scores: dict[str, float]
    unknown: str = ""
    channel: str = ""
    fragment: int = 0

    def __repr__(self) -> str:
        return f"Scored({self.start_s:g}–{self.end_s:g} s: {self._said})"

    @property
    def _said(self) -> str:
        reason = f" ({self.unknown})" if self.unknown else ""
        return f"{self.scene}{reason}, {100 * self.score:.1f} %"

    @property
    def scene(self) -> str:
        """`likeliest`, or ``unknown`` where there is no answer."""
        return UNKNOWN if self.unknown else self.likeliest

    @property
    def likeliest(self) -> str:
        """The scene with the largest score."""
        return max(self.scores, key=self.scores.__getitem__)

    @property
    def score(self) -> float:
        """The largest score."""
        return self.scores[self.likeliest]

    def top(self, count: int) -> dict[str, float]:
        """Returns the largest scores, in descending order."""
        ranked = sorted(self.scores.items(), key=lambda item: -item[1])
        return dict(ranked[:count])

    def scene_set(self, threshold: float) -> tuple[str, ...]:
        """Returns the scenes whose 1 − score is at most ``threshold``, the likeliest first.

        See `conformal.prediction_sets`; the set of silence and of what is novel is empty, as the
        guarantee is for recordings like those of training.
        """
        if self.unknown in (SILENT, NOVEL):
            return ()
        return tuple(s for s, score in self.top(len(self.scores)).items() if 1 - score <= threshold)


@dataclass(frozen=True, repr=False)
class Prediction(Scored):
    """The decision on a recording.

    Attributes:
      source: the file, ``array`` or ``stdin``.
      windows: how many it was cut into.
      note: what was done to the recording to fit the network, or empty.
    """

    source: str = ""
    windows: int = 1
    note: str = ""

    def __repr__(self) -> str:
        return f"Prediction({self.source}: {self._said})"


@dataclass(frozen=True, repr=False)
class Analysis:
    """A decision with what it came from, to be shown.

    Attributes:
      decision: on the whole recording.
      stretches: its fragments in order of time, or its windows where a window is one fragment.
      channels: by channel, the scores of the whole recording from that channel alone.
    """

    decision: Prediction
    stretches: tuple[Scored, ...]
    channels: dict[str, dict[str, float]]

    def __repr__(self) -> str:
        return f"Analysis({self.decision._said}; {len(self.stretches)} stretches)"


class Tally:
    """Running mean of the posteriors of a recording's windows, and what is known of it.

    Silent and novel windows have no part in the mean, as their posteriors mean nothing; where there
    are no others, all have. A recording is silent if all of its windows are, and novel if more than
    half of the others are.

    The mean is taken before fusion and temperature, as it is where a run is tested and calibrated
    on recordings of several windows, so that its results are met exactly. Thresholds fitted to
    recordings of one window are applied to longer ones, too: a mean of calibrated probabilities is
    less confident than it is accurate (R. Ranjan, T. Gneiting, "Combining probability forecasts",
    J. R. Stat. Soc. B 72, 2010), so that fewer long recordings are answered, not more wrongly.
    """

    def __init__(self) -> None:
        self._counts = {"": 0, SILENT: 0, NOVEL: 0}
        self._sums: dict[bool, np.ndarray] = {}

    def add(self, posteriors: np.ndarray, unknown: str) -> None:
        """Takes a window's posteriors and why they mean nothing, if so."""
        self._counts[unknown] += 1
        ignored = bool(unknown)
        self._sums[ignored] = self._sums.get(ignored, 0.0) + posteriors.astype(np.float64)

    @property
    def windows(self) -> int:
        """How many windows there were."""
        return sum(self._counts.values())

    def mean(self) -> np.ndarray:
        """Returns the mean posteriors, float64."""
        counted = self._counts[""]
        return self._sums[False] / counted if counted else self._sums[True] / self.windows

    @property
    def unknown(self) -> str:
        """``silence``, ``novel`` or empty."""
        if self._counts[SILENT] == self.windows:
            return SILENT
        return NOVEL if self._counts[NOVEL] > self._counts[""] else ""


def named(scenes: Sequence[str], scores: np.ndarray) -> dict[str, float]:
    """Returns scores [scene] by scene."""
    return dict(zip(scenes, scores.tolist(), strict=True))
