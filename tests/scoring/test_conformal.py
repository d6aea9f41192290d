import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.scoring.conformal import (
    conformal_quantile,
    conformal_threshold,
    prediction_sets,
    set_statistics,
)


def test_quantile_by_hand():
    values = np.arange(1.0, 10.0)  # 9 values: ⌈10 level⌉-th smallest
    assert conformal_quantile(values, 0.9) == 9
    assert conformal_quantile(values, 0.8) == 8
    assert conformal_quantile(values, 0.81) == 9
    assert conformal_quantile(values, 0.91) == math.inf
    # (99 + 1) · 0.07 is 7.000000000000001 in floating point; the 7th is meant.
    assert conformal_quantile(np.arange(1.0, 100.0), 0.07) == 7


@settings(deadline=None)
@given(st.integers(1, 40), st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_each_value_in_turn_is_covered_by_the_others_as_often_as_promised(count, level, seed):
    # The guarantee itself: leave each of n + 1 values out once, as exchangeability does at random.
    values = np.random.default_rng(seed).normal(size=count + 1)
    covered = [
        values[index] <= conformal_quantile(np.delete(values, index), level)
        for index in range(count + 1)
    ]
    share = np.mean(covered)
    assert share >= level - 1e-9
    assert share <= level + 1 / (count + 1) + 1e-9 or share == 1


def test_sets_by_hand():
    # True scenes' scores 0.9, 0.8, 0.6, 0.3: nonconformities 0.1, 0.2, 0.4, 0.7. Of 4 recordings
    # the ⌈5 · 0.6⌉ = 3rd smallest is 0.4: scenes of score 0.6 and more are kept.
    scores = np.array([[0.9, 0.1, 0], [0.1, 0.8, 0.1], [0.4, 0, 0.6], [0.3, 0.3, 0.4]])
    labels = np.array([0, 1, 2, 0])
    threshold = conformal_threshold(scores, labels, coverage=0.6)
    assert threshold == pytest.approx(0.4)
    sets = prediction_sets(scores, threshold)
    expected = [[True, False, False], [False, True, False], [False, False, True], [False] * 3]
    assert sets.tolist() == expected
    statistics = set_statistics(sets, labels)
    assert (statistics.covered.correct, statistics.covered.total) == (3, 4)
    assert statistics.mean_size == 0.75
    assert statistics.by_size == (1, 3, 0, 0)


def test_too_few_recordings_keep_all_scenes():
    # 90 % takes 0.9 / 0.1 = 9 recordings.
    scores = np.tile([0.9, 0.1], (9, 1))
    assert conformal_threshold(scores, np.zeros(9, int)) == pytest.approx(0.1)
    threshold = conformal_threshold(scores[:8], np.zeros(8, int))
    assert threshold == 1
    assert prediction_sets(np.array([[1.0, 0.0]]), threshold).all()


@pytest.mark.parametrize("coverage", [0, 1, 1.5, math.nan])
def test_a_coverage_that_is_no_probability_is_refused(coverage):
    with pytest.raises(ValueError, match="both excluded"):
        conformal_threshold(np.ones((1, 1)), np.zeros(1, int), coverage=coverage)
