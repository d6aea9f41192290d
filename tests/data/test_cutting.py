"""Windows of long recordings: where they start, what part they are in, one decision together."""

from pathlib import Path

import numpy as np
import pytest

from ascjax.data import cutting, splits
from ascjax.data.dataset import Dataset
from ascjax.data.listing import Fold, Recording


def dataset(*names, train, test, locations=()):
    locations = locations or [""] * len(names)
    recordings = tuple(
        Recording(name, Path(name), "bus", location=location)
        for name, location in zip(names, locations, strict=True)
    )
    return Dataset(
        root=Path("set"), layout="folders", reason="", scenes=("bus",), recordings=recordings,
        train=train, test=test, unknown=Fold((), ()), folds=(1,), left_out=(), notes=(),
    )  # fmt: skip


def starts(duration_s, *, window_s=10.0, hop_s=10.0):
    listed = dataset("a", train=(0,), test=())
    cut = cutting.into_windows(listed, {"a": duration_s}, window_s=window_s, hop_s=hop_s)
    return [each.start_s for each in cut.recordings]


@pytest.mark.parametrize(
    ("duration_s", "settings", "expected"),
    [
        (30.0, {}, [0, 10, 20]),
        (39.9, {}, [0, 10, 20, 29.9]),  # what is left gets one that ends with the recording
        (30.9, {}, [0, 10, 20]),  # less than a tenth of a hop is not
        (29.996, {}, [0, 10, 20]),  # durations are known to the hundredth
        (29.9, {}, [0, 10, 19.9]),
        (10.0, {}, [0]),
        (3.0, {}, [0]),  # repeated later on, to fill the window
        (20.0, {"hop_s": 5.0}, [0, 5, 10]),
        (22.0, {"hop_s": 5.0}, [0, 5, 10, 12]),
        (25.0, {"hop_s": 15.0}, [0, 15]),
        (35.0, {"hop_s": 15.0}, [0, 15]),  # gaps are wanted
    ],
)
def test_starts_of_windows(duration_s, settings, expected):
    assert starts(duration_s, **settings) == pytest.approx(expected, abs=0.011)


@pytest.mark.parametrize(
    ("length_s", "hop_s", "expected"),
    [(39.9, 10, 39.9), (30.9, 10, 30), (6, 10, 6), (19, 5, 19), (45, 15, 30), (52, 15, 30)],
)
def test_what_of_a_recording_is_in_a_window(length_s, hop_s, expected):
    used_s = cutting.used_s(length_s, window_s=10, hop_s=hop_s)
    assert used_s == pytest.approx(expected, abs=0.011)


def test_windows_stay_in_the_part_of_their_recording():
    listed = dataset("a", "b", "c", train=(0, 2), test=(1,))
    lengths = {"a": 20.0, "b": 10.0}  # c has no readable header
    cut = cutting.into_windows(listed, lengths, window_s=10, hop_s=10)
    assert [each.name for each in cut.recordings] == ["a#0", "a#10", "b#0", "c#0"]
    assert [each.whole for each in cut.recordings] == ["a", "a", "b", "c"]
    assert [each.path for each in cut.recordings][:2] == [Path("a"), Path("a")]
    assert (cut.train, cut.test) == ((0, 1, 3), (2,))


def test_a_validation_part_never_takes_some_windows_of_a_recording():
    listed = dataset("a", "b", train=(0, 1), test=(), locations=["", "harbour"])
    cut = cutting.into_windows(listed, {"a": 30.0, "b": 20.0}, window_s=10, hop_s=10)
    together = splits.groups([each.location for each in cut.recordings])
    assert together == ["a"] * 3 + ["harbour"] * 2


def test_windows_are_grouped_by_recording_and_averaged():
    listed = dataset("a", "b", train=(0, 1), test=())
    cut = cutting.into_windows(listed, {"a": 20.0, "b": 10.0}, window_s=10, hop_s=10)
    firsts, groups = cutting.group([cut.recordings[i] for i in (2, 0, 1)])
    assert [each.name for each in firsts] == ["b", "a"]
    np.testing.assert_array_equal(groups, [0, 1, 1])
    posteriors = np.array([[1, 0], [0.2, 0.8], [0.6, 0.4]], np.float32).reshape(3, 1, 1, 2)
    averaged = cutting.average(posteriors, groups)
    np.testing.assert_allclose(averaged[:, 0, 0], [[1, 0], [0.4, 0.6]], atol=1e-7)
    assert averaged.dtype == np.float32


def test_whole_recordings_keep_their_posteriors_to_the_bit():
    recordings = dataset("a", "b", train=(0, 1), test=()).recordings
    firsts, groups = cutting.group(recordings)
    assert firsts == list(recordings)
    posteriors = np.random.default_rng(0).random((2, 1, 3, 4), np.float32)
    assert cutting.average(posteriors, groups).tobytes() == posteriors.tobytes()
