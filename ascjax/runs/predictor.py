"""A classifier of any recordings, from run folders alone: without data set or config file."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from operator import attrgetter
from typing import TypeVar, overload

import numpy as np
from jaxtyping import Float32

from ascjax.audio.errors import BadRecording
from ascjax.audio.raw import RawFormat
from ascjax.audio.windows import Window, windows
from ascjax.data.fragments import layout
from ascjax.errors import UserError
from ascjax.runs import sources
from ascjax.runs.ensemble import Ensemble, Heard
from ascjax.runs.exported import Exported
from ascjax.runs.folder import is_exported
from ascjax.runs.reading import Failed, inputs, read_ahead
from ascjax.runs.run import Run
from ascjax.runs.sources import Source
from ascjax.runs.verdict import UNSURE, Analysis, Prediction, Scored, Tally, named
from ascjax.scoring.calibration import Calibration

T = TypeVar("T")

PARTS = ("fragment", "channel")


@dataclass(frozen=True, repr=False)
class Embeddings:
    """Pooled feature maps of windows.

    Attributes:
      source: [window], the recording of each.
      start_s: [window], where it begins there.
      features: float32 [window, feature], the mean over channels, fragments, mel and time; those
        of several networks, of folds, in turn.
    """

    source: tuple[str, ...]
    start_s: np.ndarray
    features: np.ndarray

    def __repr__(self) -> str:
        num_windows, num_features = self.features.shape
        return f"Embeddings({num_windows} windows × {num_features} features)"


@dataclass(frozen=True, repr=False)
class Classifier:
    """Trained networks with all that it takes to apply them; made by `loading.load`.

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
        """Seconds of a window, as long as the recordings that the networks were trained on."""
        return self.runs[0].info.duration_s

    @cached_property
    def ensemble(self) -> Ensemble:
        """What applies the networks to windows."""
        return Exported(self.runs) if is_exported(self.runs[0].path) else Ensemble(self.runs)

    @overload
    def predict(  # type: ignore[overload-overlap] # a str is a Sequence, too
        self, recordings: Source, *, hop_s: float | None = None, min_score: float = 0.0
    ) -> Prediction: ...

    @overload
    def predict(
        self, recordings: Sequence[Source], *, hop_s: float | None = None, min_score: float = 0.0
    ) -> list[Prediction]: ...

    def predict(
        self,
        recordings: Source | Sequence[Source],
        *,
        hop_s: float | None = None,
        min_score: float = 0.0,
    ) -> Prediction | list[Prediction]:
        """Decides on recordings of any length, window by window.

        Args:
          recordings: a path, an array [sample] or [column, sample] with its rate in Hz, a binary
            stream of an audio file, or a list of these.
          hop_s: seconds from one window to the next; by default a window's length. A recording
            shorter than a window is repeated to fill it.
          min_score: a recording whose largest score is lower is unknown; see `threshold`.

        Returns:
          A prediction, or a list of them for a list.

        Raises:
          BadRecording: a recording can't be read.
          UserError: an empty list, what is none of these, or a number out of range.

        Example:
          >>> import ascjax, numpy as np
          >>> classifier = ascjax.load("esc10")
          >>> silence = np.zeros(5 * 44_100, np.float32)
          >>> prediction = classifier.predict((silence, 44_100))
          >>> prediction.scene, prediction.unknown, len(prediction.scores)
          ('unknown', 'silence', 10)
        """
        predictions = []
        for prediction in self.each(sources.listed(recordings), hop_s=hop_s, min_score=min_score):
            if isinstance(prediction, BadRecording):
                raise prediction
            predictions.append(prediction)
        return predictions[0] if sources.is_source(recordings) else predictions

    def each(
        self, recordings: Iterable[Source], *, hop_s: float | None = None, min_score: float = 0.0
    ) -> Iterator[Prediction | BadRecording]:
        """Yields the decision on each recording, or why it can't be read; see `predict`.

        Windows of several recordings go through the network together; memory stays that of a few
        windows, however long the recordings are. A recording is taken from ``recordings`` once
        those before it have been read.
        """
        min_score = self.least_score(min_score)
        for name, heard in self._by_recording(recordings, hop_s):
            yield self._decide(name, heard, min_score)

    def with_windows(
        self, recordings: Iterable[Source], *, hop_s: float | None = None, min_score: float = 0.0
    ) -> Iterator[tuple[Prediction | BadRecording, list[Scored]]]:
        """Yields what `each` does, with the scores of each window of the recording."""
        min_score = self.least_score(min_score)
        for name, heard in self._by_recording(recordings, hop_s):
            scored: list[Scored] = []
            yield self._decide(name, self._scored(heard, min_score, scored), min_score), scored

    def _by_recording(
        self, recordings: Iterable[Source], hop_s: float | None
    ) -> Iterator[tuple[str, Iterator[Heard | Failed]]]:
        """Yields the name of each recording and its windows, after the networks."""
        names: list[str] = []

        def taken() -> Iterator[Source]:
            for source in recordings:
                names.append(sources.name(source))
                yield source

        for index, heard in groupby(self._hear(taken(), hop_s), key=attrgetter("recording")):
            yield names[index], heard

    def _scored(
        self, heard: Iterator[Heard | Failed], min_score: float, scored: list[Scored]
    ) -> Iterator[Heard | Failed]:
        """Yields windows, and puts their scores into ``scored``."""
        for window in heard:
            if isinstance(window, Heard):
                scored += self._parts(window, (), min_score)
            yield window

    def _decide(
        self, source: str, heard: Iterator[Heard | Failed], min_score: float
    ) -> Prediction | BadRecording:
        tally, end_s = Tally(), 0.0
        for window in heard:
            if isinstance(window, Failed):
                return window.error
            tally.add(window.posteriors, window.unknown)
            end_s = window.end_s
        note = ""
        if end_s < self.window_s - 0.005:
            note = f"{end_s:.2f} s long, repeated to fill {self.window_s:g} s"
        scores = self.ensemble.scores(tally.mean())
        return Prediction(
            start_s=0.0,
            end_s=end_s,
            scores=named(self.scenes, scores),
            unknown=tally.unknown or (UNSURE if scores.max() < min_score else ""),
            source=source,
            windows=tally.windows,
            note=note,
        )

    def analyse(self, recording: Source, *, min_score: float = 0.0) -> Analysis:
        """Returns the decision on one recording with the scores that it came from.

        Args, Raises: as `predict`.
        """
        min_score = self.least_score(min_score)
        heard = [_whole(window) for window in self._hear(sources.listed(recording), None)]
        decision = self._decide(sources.name(recording), iter(heard), min_score)
        assert isinstance(decision, Prediction)  # what can't be read was raised above
        by = ("fragment",) if self.runs[0].info.fragments > 1 else ()
        return Analysis(
            decision,
            tuple(part for window in heard for part in self._parts(window, by, min_score)),
            {name: self._of_channel(heard, index) for index, name in enumerate(self.channels)},
        )

    def _of_channel(self, heard: Sequence[Heard], index: int) -> dict[str, float]:
        """Returns the scores of a recording by scene, from one of the channels alone."""
        tally = Tally()
        for window in heard:
            tally.add(window.posteriors[:, index : index + 1], window.unknown)
        return named(self.scenes, self.ensemble.scores(tally.mean()))

    def timeline(
        self,
        recording: Source,
        *,
        hop_s: float | None = None,
        by: Collection[str] = (),
        min_score: float = 0.0,
        raw: RawFormat | None = None,
    ) -> Iterator[Scored]:
        """Yields the scores of each window of a recording, in order.

        Args:
          recording, hop_s, min_score: see `predict`.
          by: ``fragment``, ``channel`` or both, to score each of a window's alone.
          raw: how a stream holds raw samples; each window is then scored as soon as it is there.

        Raises:
          BadRecording: when the place is reached where the recording can't be read.
          UserError: as `predict`.
        """
        rows = self.timelines(
            sources.listed(recording), hop_s=hop_s, by=by, min_score=min_score, raw=raw
        )
        for _, scored in rows:
            if isinstance(scored, BadRecording):
                raise scored
            yield scored

    def timelines(
        self,
        recordings: Sequence[Source],
        *,
        hop_s: float | None = None,
        by: Collection[str] = (),
        min_score: float = 0.0,
        raw: RawFormat | None = None,
    ) -> Iterator[tuple[str, Scored | BadRecording]]:
        """Yields the name of a recording and the scores of its next window, or why there is none.

        Args, Raises: as `timeline`.
        """
        min_score = self.least_score(min_score)
        if not set(by) <= set(PARTS):
            raise UserError(f"by: expected some of {', '.join(PARTS)}, got {', '.join(by)}")
        for window in self._hear(recordings, hop_s, raw=raw):
            name = sources.name(recordings[window.recording])
            if isinstance(window, Failed):
                yield name, window.error
                continue
            for scored in self._parts(window, by, min_score):
                yield name, scored

    def _parts(self, window: Heard, by: Collection[str], min_score: float) -> Iterator[Scored]:
        """Yields the scores of a window, or of its channels within each of its fragments."""
        channels, count = self.channels, self.runs[0].info.fragments
        for fragment, of_fragment in _cuts(range(1, count + 1), 0, "fragment" in by):
            start_s, end_s = self._span(window, fragment)
            if start_s >= window.end_s:
                return  # the rest is the repetition of a short recording
            for channel, of_channel in _cuts(channels, "", "channel" in by):
                part = window.posteriors[:, of_channel, of_fragment]
                scores = self.ensemble.scores(part)
                unknown = window.unknown or (UNSURE if scores.max() < min_score else "")
                yield Scored(start_s, end_s, named(self.scenes, scores), unknown, channel, fragment)

    def _span(self, window: Heard, fragment: int) -> tuple[float, float]:
        """Returns start and end in seconds of a fragment (from 1) of a window, or of it all (0)."""
        if fragment == 0:
            return window.start_s, window.end_s
        front_end, info = self.runs[0].front_end, self.runs[0].info
        num_frames = front_end.num_frames(self._window_samples)
        width, starts = layout(num_frames, info.fragments, info.overlap)
        start_s, length_s = (
            frames * front_end.hop_length / front_end.sample_rate_hz
            for frames in (starts[fragment - 1], width)
        )
        return window.start_s + start_s, min(window.start_s + start_s + length_s, window.end_s)

    def posteriors(
        self, recordings: Source | Sequence[Source]
    ) -> Float32[np.ndarray, "recording channel fragment scene"]:
        """Returns the posteriors of each recording's first window, the mean over folds' networks.

        Args, Raises: as `predict`.
        """
        heard = self._hear(sources.listed(recordings), None, most=1)
        return np.stack([_whole(window).posteriors.mean(axis=0) for window in heard])

    def embed(
        self,
        recordings: Source | Sequence[Source],
        *,
        hop_s: float | None = None,
        bad: list[BadRecording] | None = None,
    ) -> Embeddings:
        """Returns the pooled feature map of each window.

        Args, Raises: as `predict`; recordings that can't be read are put into ``bad`` if given.
        """
        listed, kept = sources.listed(recordings), list[Heard]()
        for window in self._hear(listed, hop_s):
            if isinstance(window, Failed) and bad is not None:
                bad.append(window.error)
                kept = [each for each in kept if each.recording != window.recording]
            else:
                kept.append(_whole(window))
        return Embeddings(
            tuple(sources.name(listed[window.recording]) for window in kept),
            np.array([window.start_s for window in kept]),
            np.stack([window.embedding for window in kept]) if kept else np.empty((0, 0)),
        )

    def threshold(self, accuracy: float) -> float:
        """Returns the least score with which answers are right at a stated rate.

        It was fitted to the validation part (`selective.abstention_threshold`), and holds for
        recordings drawn as that was. Of several folds, the strictest threshold is taken.

        Args:
          accuracy: one that the runs keep a threshold for, e.g. 0.95.

        Raises:
          UserError: there is no calibration, or none for this accuracy.
        """
        thresholds = []
        for run, calibration in self._calibrations():
            known = calibration.thresholds
            found = known.get(_chosen("accuracy", accuracy, known))
            if found is None:
                raise UserError(
                    f"{run.path}: its {calibration.recordings:,} validation recordings can't show "
                    f"that answers are right at a rate of {accuracy:g}, at any score; ask for less"
                )
            thresholds.append(found)
        return max(thresholds)

    def least_score(self, min_score: float) -> float:
        """Returns the least score of an answer: as asked, and as networks with unknowns keep it."""
        if not 0 <= min_score <= 1:
            raise UserError(f"min_score: expected a score of 0 to 1, got {min_score}")
        kept = [run.trained.calibration for run in self.runs]
        return max(min_score, *(each.unknown if each else 0.0 for each in kept))

    def set_threshold(self, coverage: float) -> float:
        """Returns the threshold of `Scored.scene_set` for sets that hold the true scene.

        See `conformal.conformal_threshold`; the rest as `threshold`.

        Args:
          coverage: one that the runs keep a threshold for, e.g. 0.9.
        """
        return max(
            calibration.conformal[_chosen("coverage", coverage, calibration.conformal)]
            for _, calibration in self._calibrations()
        )

    def _calibrations(self) -> Iterator[tuple[Run, Calibration]]:
        for run in self.runs:
            if run.trained.calibration is None:
                raise UserError(
                    f"{run.path}: has no calibration, as it was trained under the protocol "
                    f"{run.info.protocol} without a validation part; train under the protocol "
                    "validated"
                )
            yield run, run.trained.calibration

    @property
    def _window_samples(self) -> int:
        return round(self.window_s * self.sample_rate_hz)

    def _hear(
        self,
        recordings: Iterable[Source],
        hop_s: float | None,
        *,
        raw: RawFormat | None = None,
        most: int | None = None,
    ) -> Iterator[Heard | Failed]:
        """Yields the first windows of recordings, ``most`` of each, after the networks."""
        hop_s = self.window_s if hop_s is None else hop_s
        if not (math.isfinite(hop_s * self.sample_rate_hz) and hop_s * self.sample_rate_hz > 0.5):
            raise UserError(f"hop_s: expected more than 0 seconds, got {hop_s}")
        cut: Iterator[tuple[str, Iterator[Window]]] = (
            (
                sources.name(source),
                islice(
                    windows(
                        source,
                        sample_rate_hz=self.sample_rate_hz,
                        window_samples=self._window_samples,
                        hop_samples=round(hop_s * self.sample_rate_hz),
                        raw=raw,
                    ),
                    most,
                ),
            )
            for source in recordings
        )
        read = inputs(cut, self.ensemble.front_end, self.channels, self._window_samples)
        if raw is not None:
            return self.ensemble.hear(read, 1)
        at_once = self.ensemble.windows_at_once
        return self.ensemble.hear(read_ahead(read, 2 * at_once), at_once)


def _whole(window: Heard | Failed) -> Heard:
    if isinstance(window, Failed):
        raise window.error
    return window


def _cuts(labels: Sequence[T], whole: T, separate: bool) -> list[tuple[T, slice]]:
    """Returns a label and a slice for each part of an axis, or for all of it."""
    if not separate:
        return [(whole, slice(None))]
    return [(label, slice(index, index + 1)) for index, label in enumerate(labels)]


def _chosen(what: str, value: float, known: Collection[float]) -> float:
    if value not in known:
        listed = ", ".join(f"{each:g}" for each in known)
        raise UserError(f"{what}: expected one of {listed}, got {value}")
    return value
