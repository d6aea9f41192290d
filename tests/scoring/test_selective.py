import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import binom

from ascjax.scoring.selective import (
    abstention_threshold,
    answered_statistics,
    answers,
    binomial_cdf,
    coverage_accuracy,
)


def two_scenes(confidence, correct):
    """Scores of two scenes, scene 0 predicted throughout, and the labels."""
    confidence = np.asarray(confidence, float)
    return np.stack([confidence, 1 - confidence], axis=1), 1 - np.asarray(correct, int)


def test_curve_by_hand():
    curve = coverage_accuracy(*two_scenes([0.6, 0.9, 0.8, 0.8], [0, 1, 1, 0]))
    # 0.9: one, correct. 0.8: three, two correct. 0.6: all four, two correct.
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.6])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1])
    np.testing.assert_allclose(curve.accuracy, [1, 2 / 3, 1 / 2])
    # Risk 0 on a quarter, 1/3 on two quarters, 1/2 on the last.
    assert curve.risk_area == pytest.approx(0 + 1 / 2 * 1 / 3 + 1 / 4 * 1 / 2)


def test_perfect_ranking_has_the_least_risk_area():
    right_first = coverage_accuracy(*two_scenes([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0]))
    wrong_first = coverage_accuracy(*two_scenes([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1]))
    # Risks 0, 0, 1/3, 1/2 and 1, 1, 2/3, 1/2, a quarter each.
    assert right_first.risk_area == pytest.approx(5 / 24)
    assert wrong_first.risk_area == pytest.approx(19 / 24)


def test_answered_statistics_by_hand():
    scores, labels = two_scenes([0.6, 0.9, 0.8, 0.8], [0, 1, 1, 0])
    assert answers(scores, 0.8).tolist() == [False, True, True, True]
    statistics = answered_statistics(scores, labels, 0.8)
    assert (statistics.threshold, statistics.coverage) == (0.8, 0.75)
    assert (statistics.correct.correct, statistics.correct.total) == (2, 3)
    none = answered_statistics(scores, labels, 0.95)
    assert (none.coverage, none.correct.accuracy) == (0, None)


@pytest.mark.parametrize(
    ("accuracy", "needed"),
    # All correct, the bound at 1/20 of a risk of 5 % takes n ≥ ln 0.0025 / ln accuracy.
    [(0.8, 27), (0.9, 57), (0.95, 117), (0.99, 597)],
)
def test_answering_everything_takes_enough_correct_recordings(accuracy, needed):
    scores, labels = two_scenes(np.full(needed, 0.9), np.ones(needed))
    assert abstention_threshold(scores, labels, accuracy=accuracy) == 0
    assert abstention_threshold(scores[1:], labels[1:], accuracy=accuracy) is None


def test_abstention_leaves_out_what_is_guessed():
    # 200 at 0.9, all correct: 0.95^200 = 0.00004 < 0.0025. With any at 0.6, which tie, come 100
    # errors in 400.
    confidence = np.repeat([0.9, 0.6], 200)
    scores, labels = two_scenes(confidence, [1] * 200 + [1, 0] * 100)
    threshold = abstention_threshold(scores, labels, accuracy=0.95)
    assert threshold == np.nextafter(0.6, 1)
    assert answers(scores, threshold).sum() == 200
    assert abstention_threshold(scores, labels, accuracy=0.99) is None


def test_the_accuracy_is_kept_as_often_as_promised():
    # Calibrated scores, uniform in 0.5..1: answers above t are correct at a rate of (1 + t) / 2.
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(200):
        confidence = rng.uniform(0.5, 1, size=600)
        scores, labels = two_scenes(confidence, rng.random(600) < confidence)
        threshold = abstention_threshold(scores, labels, accuracy=0.85)
        kept.append(threshold is None or (1 + max(threshold, 0.5)) / 2 >= 0.85)
    assert np.mean(kept) >= 0.95


@settings(deadline=None)
@given(st.integers(0, 3000), st.floats(0, 1), st.floats(0.001, 0.999))
def test_binomial_cdf_is_scipys(trials, share, rate):
    successes = round(share * trials)
    expected = binom.cdf(successes, trials, rate)
    np.testing.assert_allclose(binomial_cdf(successes, trials, rate), expected, 1e-9, 1e-12)


def test_binomial_cdf_by_hand():
    assert binomial_cdf(1, 3, 0.5) == pytest.approx(4 / 8)
    assert binomial_cdf(3, 3, 0.5) == pytest.approx(1)
    assert binomial_cdf(0, 2, 0.1) == pytest.approx(0.81)


@pytest.mark.parametrize("accuracy", [0, 1, -0.5, 95])
def test_an_accuracy_that_is_no_rate_is_refused(accuracy):
    with pytest.raises(ValueError, match="expected accuracy within 0..1"):
        abstention_threshold(*two_scenes([0.9], [1]), accuracy=accuracy)
