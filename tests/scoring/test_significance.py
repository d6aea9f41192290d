import itertools

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from scipy.stats import binomtest

from ascjax.scoring.significance import mcnemar


@settings(deadline=None)
@given(only_a=st.integers(0, 60), only_b=st.integers(0, 60), both=st.integers(0, 5))
def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_pairs(only_a, only_b, both):
    right_a = np.array([True] * only_a + [False] * only_b + [True] * both + [False], bool)
    right_b = np.array([False] * only_a + [True] * only_b + [True] * both + [False], bool)
    result = mcnemar(right_a, right_b)
    assert (result.only_a, result.only_b) == (only_a, only_b)
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    np.testing.assert_allclose(result.p, expected, rtol=1e-9)


def test_mcnemar_at_the_papers_size_against_scipy():
    right_a, right_b = np.zeros((2, 2518), bool)
    right_a[:400], right_b[220:500] = True, True
    expected = binomtest(220, 220 + 100).pvalue
    np.testing.assert_allclose(mcnemar(right_a, right_b).p, expected, rtol=1e-9)
    assert 1e-12 < expected < 1e-10


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_mcnemar_over_seeds_tosses_the_sign_of_each_recordings_difference(seed):
    right_a, right_b = np.random.default_rng(seed).integers(2, size=(2, 3, 8)).astype(bool)
    more = right_a.sum(axis=0) - right_b.sum(axis=0)
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    expected = np.mean(np.abs(signs @ np.abs(more)) >= abs(more.sum()))
    result = mcnemar(right_a, right_b)
    np.testing.assert_allclose(result.p, expected, rtol=1e-9)
    assert (result.only_a, result.only_b) == ((more > 0).sum(), (more < 0).sum())
