import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.scoring.clusters import (
    ByLocation,
    by_location,
    cluster_bootstrap_interval,
    mcnemar_clustered,
    sign_flip_p,
)
from ascjax.scoring.rates import wilson_interval
from ascjax.scoring.significance import mcnemar


def test_bootstrap_by_hand():
    # Two locations, one right, one wrong: resamples are right on 0, 1/2, 1/2 or 1 of recordings.
    correct = np.array([True, True, False, False])
    assert cluster_bootstrap_interval(correct, ["a", "a", "b", "b"]) == (0, 1)
    # 40 % lie within the quantiles 0.3 and 0.7, both among the halves.
    narrow = cluster_bootstrap_interval(correct, ["a", "a", "b", "b"], level=0.4)
    assert narrow == (0.5, 0.5)
    # With 3 recordings at a and 1 at b a resample of one of each is right on 3 of 4.
    uneven = cluster_bootstrap_interval(
        np.array([True, True, True, False]), ["a", "a", "a", "b"], level=0.4
    )
    assert uneven == (0.75, 0.75)


def test_seeds_count_by_their_mean():
    seeds = np.array([[True, True, False, False], [True, True, True, True]])
    # Locations right on 1 and on 1/2: resamples of 1, 3/4 or 1/2.
    assert cluster_bootstrap_interval(seeds, ["a", "a", "b", "b"]) == (0.5, 1)
    assert by_location(seeds, ["a", "a", "b", "b"]) == ByLocation(2, (0.5, 1))


@pytest.mark.parametrize("locations", [[], ["a", "a"], ["a", ""]])
def test_unknown_locations_or_one_alone_give_no_interval(locations):
    assert by_location(np.ones(len(locations), bool), locations) is None


def test_one_location_says_nothing_about_others():
    assert cluster_bootstrap_interval(np.array([True, False]), ["a", "a"]) is None
    assert cluster_bootstrap_interval(np.zeros(0, bool), []) is None


def test_locations_that_are_all_right_leave_no_width():
    assert cluster_bootstrap_interval(np.ones(4, bool), ["a", "a", "b", "b"]) == (1, 1)


def test_recordings_that_are_clusters_of_their_own_give_about_wilsons_interval():
    correct = np.arange(1000) < 700
    names = [str(index) for index in range(1000)]
    interval = cluster_bootstrap_interval(correct, names)
    np.testing.assert_allclose(interval, wilson_interval(700, 1000), atol=0.005)
    # 20 a location, right or wrong together: as if there were 50 recordings.
    together = cluster_bootstrap_interval(correct, [str(index // 20) for index in range(1000)])
    np.testing.assert_allclose(together, wilson_interval(35, 50), atol=0.03)


def test_bootstrap_repeats_by_its_seed():
    correct = np.random.default_rng(0).random(60) < 0.7
    names = [str(index // 6) for index in range(60)]
    first = cluster_bootstrap_interval(correct, names)
    assert cluster_bootstrap_interval(correct, names) == first
    assert cluster_bootstrap_interval(correct, names, seed=1, repeats=99) != first


def test_clustered_mcnemar_by_hand():
    # Differences by location: 2, 1, −1, 0. Their sum is 2, that of their squares 6:
    # 3/4 · 2² / 6 = 1/2. Of ±2 ± 1 ± 1 six in eight are at least 2 from 0: 4, 2, 2, −2, −2, −4.
    a = np.array([1, 1, 1, 1, 0, 1, 0], bool)
    b = np.array([0, 0, 1, 0, 1, 1, 0], bool)
    result = mcnemar_clustered(a, b, ["w", "w", "w", "x", "y", "y", "z"])
    assert (result.clusters, result.favour_a, result.favour_b) == (4, 2, 1)
    assert result.statistic == pytest.approx(1 / 2)
    assert result.p == pytest.approx(6 / 8)


def test_one_sided_locations_by_hand():
    # Five locations, each twice better with a: p is 2 of 2⁵, whereas 10 independent recordings
    # would give 2 of 2¹⁰.
    a, b = np.ones(10, bool), np.zeros(10, bool)
    result = mcnemar_clustered(a, b, [str(index // 2) for index in range(10)])
    assert result.statistic == pytest.approx(4 / 5 * 10**2 / 20)
    assert result.p == pytest.approx(2 / 32)
    assert mcnemar(a, b).p == pytest.approx(2 / 1024)


def test_systems_that_agree():
    same = np.array([True, False])
    result = mcnemar_clustered(same, same, ["a", "b"])
    assert (result.statistic, result.p) == (0, 1)
    # Differences that cancel within one location.
    result = mcnemar_clustered(np.array([True, False]), np.array([False, True]), ["a", "a"])
    assert (result.favour_a, result.statistic, result.p) == (0, 0, 1)


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


@settings(deadline=None)
@given(outcomes)
def test_without_clusters_it_is_mcnemars_test(pairs):
    a, b = np.array(pairs).T
    result = mcnemar_clustered(a, b, [str(index) for index in range(len(a))])
    expected = mcnemar(a, b)
    assert (result.favour_a, result.favour_b) == (expected.only_a, expected.only_b)
    assert result.p == pytest.approx(expected.p, rel=1e-9)


@settings(deadline=None)
@given(st.integers(1, 4), outcomes, st.integers(1, 10))
def test_exchanging_the_systems_changes_nothing_but_the_sign(seeds, pairs, size):
    a, b = np.tile(np.array(pairs).T[:, None], (1, seeds, 1))
    clusters = [str(index // size) for index in range(len(pairs))]
    one, other = mcnemar_clustered(a, b, clusters), mcnemar_clustered(b, a, clusters)
    assert 0 < one.p <= 1
    assert (one.p, one.statistic) == (other.p, other.statistic)
    assert (one.favour_a, one.favour_b) == (other.favour_b, other.favour_a)
    # Seeds that agree in everything count as one.
    single = mcnemar_clustered(a[0], b[0], clusters)
    assert vars(one) == pytest.approx(vars(single))


def test_p_nears_that_of_chi_square_with_many_clusters():
    rng = np.random.default_rng(0)
    a, b = rng.random(3000) < 0.75, rng.random(3000) < 0.72
    result = mcnemar_clustered(a, b, [str(index // 10) for index in range(3000)])
    chi_square = math.erfc(math.sqrt(result.statistic / 2))
    assert 0.001 < chi_square < 0.9
    assert result.p == pytest.approx(chi_square, abs=0.01)


def test_sign_flips_by_hand():
    assert sign_flip_p(np.array([3, -1])) == 1  # ±3 ± 1: all of 4, 2, −2, −4 reach 2
    assert sign_flip_p(np.array([3, 1])) == 1 / 2
    assert sign_flip_p(np.array([0, 0])) == 1
    assert sign_flip_p(np.zeros(0, int)) == 1


def test_a_name_too_few_is_refused():
    with pytest.raises(ValueError, match="expected 2 clusters, one a recording, got 1"):
        cluster_bootstrap_interval(np.array([True, False]), ["a"])
