import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.scoring.confidence import (
    equal_mass_bins,
    expected_calibration_error,
    reliability,
)


def two_scenes(confidence, correct):
    """Scores of two scenes, scene 0 predicted throughout, and the labels."""
    confidence = np.asarray(confidence, float)
    return np.stack([confidence, 1 - confidence], axis=1), 1 - np.asarray(correct, int)


def test_reliability_by_hand():
    scores, labels = two_scenes([0.9, 0.6, 0.8, 0.7], [1, 0, 1, 1])
    low, high = reliability(scores, labels, bins=2)
    # The two least confident, 0.6 and 0.7: one is correct. Wilson's interval of 1 in 2.
    assert low.confidence == pytest.approx(0.65)
    assert (low.correct.correct, low.correct.total, low.correct.accuracy) == (1, 2, 0.5)
    np.testing.assert_allclose(low.correct.interval_95, (0.0945, 0.9055), atol=5e-5)
    assert high.confidence == pytest.approx(0.85)
    assert (high.correct.correct, high.correct.total, high.correct.accuracy) == (2, 2, 1.0)


def test_calibration_error_by_hand():
    scores, labels = two_scenes([0.9, 0.6, 0.8, 0.7], [1, 0, 1, 1])
    # Half the recordings at |0.5 − 0.65|, half at |1 − 0.85|.
    result = expected_calibration_error(scores, labels, bins=2)
    assert result.error == pytest.approx(0.15)
    assert result.bins == 2
    # In one bin errors of either sign cancel: mean confidence and accuracy are both 0.75.
    assert expected_calibration_error(scores, labels, bins=1).error == pytest.approx(0)


def test_equal_confidences_share_a_bin():
    assert equal_mass_bins(np.array([0.9, 0.5, 0.9, 0.9]), 2).tolist() == [1, 0, 1, 1]
    scores, labels = two_scenes(np.full(10, 0.9), [1, 0] * 5)
    result = expected_calibration_error(scores, labels, bins=5)
    assert (result.bins, result.error) == (1, pytest.approx(0.4))


def test_chance_level_by_hand():
    # One recording of confidence 3/4 is off by 1/4 with probability 3/4, by 3/4 with 1/4: 3/8.
    scores, labels = two_scenes([0.75], [1])
    result = expected_calibration_error(scores, labels, repeats=4000)
    assert result.by_chance == pytest.approx(3 / 8, abs=0.02)


def test_interval_reaches_0_for_calibrated_scores_only():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=2000)
    calibrated = expected_calibration_error(*two_scenes(confidence, rng.random(2000) < confidence))
    assert calibrated.interval_95[0] == 0
    assert calibrated.error == pytest.approx(calibrated.by_chance, abs=0.01)
    # Correct at 0.15 below the confidence, everywhere: that is the true error.
    correct = rng.random(2000) < confidence - 0.15
    low, high = expected_calibration_error(*two_scenes(confidence, correct)).interval_95
    assert 0.1 < low < 0.15 < high < 0.2


pairs = st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=60)


@settings(deadline=None)
@given(pairs, st.integers(1, 20), st.randoms(use_true_random=False))
def test_bins_keep_every_recording_whatever_their_order(recordings, bins, random):
    points = reliability(*two_scenes(*zip(*recordings, strict=True)), bins=bins)
    assert sum(point.correct.total for point in points) == len(recordings)
    assert sum(point.correct.correct for point in points) == sum(right for _, right in recordings)
    means = [point.confidence for point in points]
    assert means == sorted(means)
    assert len(points) <= bins
    random.shuffle(recordings)
    shuffled = reliability(*two_scenes(*zip(*recordings, strict=True)), bins=bins)
    assert [point.correct.total for point in shuffled] == [point.correct.total for point in points]
    np.testing.assert_allclose([point.confidence for point in shuffled], means)


@settings(deadline=None)
@given(pairs)
def test_calibration_error_lies_within_0_and_1_and_repeats(recordings):
    scores, labels = two_scenes(*zip(*recordings, strict=True))
    result = expected_calibration_error(scores, labels, repeats=20)
    assert 0 <= result.error <= 1 + 1e-12
    assert 0 <= result.interval_95[0] <= result.interval_95[1]
    assert result == expected_calibration_error(scores, labels, repeats=20)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.ones((0, 2)), [], "at least 1 recording"),
        (np.ones((2, 2)), [0, 2], r"within 0\.\.1, got 0\.\.2"),
        (np.array([[0.5, np.nan]]), [0], "finite"),
        (np.array([[2.0, -1.0]]), [0], "logits"),
    ],
)
def test_scores_that_are_none_are_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        reliability(scores, np.array(labels, int))


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="at least 1 bin"):
        reliability(*two_scenes([0.9], [1]), bins=0)
