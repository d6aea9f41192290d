import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.scoring.rates import Proportion, Rate, proportion, rate, wilson_interval


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # Half right of four: centre 1/2, half-width √(z²/4·(1/4 + z²/16))/(1 + z²/4) = 0.34996.
        (2, 4, 0.15004, 0.84996),
    ],
)
def test_wilson_interval_against_published_values(correct, total, low, high):
    np.testing.assert_allclose(wilson_interval(correct, total), (low, high), atol=5e-5)


@settings(deadline=None)
@given(total=st.integers(1, 10_000), share=st.floats(0, 1))
def test_wilson_interval_holds_the_rate_and_stays_within_0_and_1(total, share):
    correct = round(share * total)
    low, high = wilson_interval(correct, total)
    assert 0 <= low <= correct / total <= high <= 1
    assert high - low < 1
    mirrored = wilson_interval(total - correct, total)
    np.testing.assert_allclose((1 - high, 1 - low), mirrored, atol=1e-12)


def test_interval_of_the_papers_best_result_is_about_1_6_points_either_side():
    low, high = wilson_interval(1959, 2518)
    np.testing.assert_allclose(((high - low) / 2), 0.0162, atol=5e-5)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_are_no_rate_are_refused(correct, total):
    with pytest.raises(ValueError, match="0 <= correct <= total"):
        wilson_interval(correct, total)


def test_rates_carry_their_counts_and_of_nothing_are_none():
    assert rate(1, 4) == Rate(1, 4, 0.25)
    assert proportion(1, 4) == Proportion(1, 4, 0.25, wilson_interval(1, 4))
    assert rate(0, 0) == Rate(0, 0, None)
    assert proportion(0, 0) == Proportion(0, 0, None, None)
