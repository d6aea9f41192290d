import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.errors import UserError
from ascjax.scoring.fusion import METHODS, check_posteriors, fuse

methods = st.sampled_from(sorted(METHODS))


@st.composite
def posterior_sets(draw, min_side=1):
    """Posteriors with exact zeros, ones and ties among them, as saturated networks give."""
    shape = draw(hnp.array_shapes(min_dims=4, max_dims=4, min_side=min_side, max_side=5))
    weights = draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([0, 0.1, 1, 3, 1e-30])))
    weights[..., -1] += (weights.sum(axis=-1) == 0) * 1.0
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def one_channel(*fragments: list[float]) -> np.ndarray:
    return np.array([[fragments]], np.float32)


@settings(deadline=None)
@given(posteriors=posterior_sets(), fragments=methods, channels=methods)
def test_scores_are_distributions(posteriors, fragments, channels):
    scores = fuse(posteriors, fragments=fragments, channels=channels)
    assert scores.shape == (posteriors.shape[0], posteriors.shape[-1])
    assert (scores >= 0).all()
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(posteriors=posterior_sets(), method=methods, seed=st.integers(0, 2**32 - 1))
def test_order_of_recordings_channels_fragments_and_scenes_is_nothing(posteriors, method, seed):
    rng = np.random.default_rng(seed)
    recording, channel, fragment, scene = (rng.permutation(n) for n in posteriors.shape)
    scores = fuse(posteriors, fragments=method, channels=method)
    shuffled = posteriors[np.ix_(recording, channel, fragment, scene)]
    np.testing.assert_allclose(
        fuse(shuffled, fragments=method, channels=method),
        scores[np.ix_(recording, scene)],
        atol=1e-6,
    )


@settings(deadline=None)
@given(posteriors=posterior_sets(), method=st.sampled_from(sorted(set(METHODS) - {"vote"})))
def test_one_fragment_of_one_channel_is_its_own_score(posteriors, method):
    single = posteriors[:, :1, :1]
    scores = fuse(single, fragments=method, channels=method)
    np.testing.assert_allclose(scores, single[:, 0, 0], atol=1e-6)


@settings(deadline=None)
@given(posteriors=posterior_sets(), method=methods)
def test_items_that_agree_change_nothing(posteriors, method):
    repeated = np.repeat(np.repeat(posteriors[:, :1, :1], 3, axis=1), 4, axis=2)
    once = fuse(posteriors[:, :1, :1], fragments=method, channels=method)
    np.testing.assert_allclose(fuse(repeated, fragments=method, channels=method), once, atol=1e-6)


@settings(deadline=None)
@given(posteriors=posterior_sets())
def test_mean_of_means_is_the_mean_of_all(posteriors):
    np.testing.assert_allclose(fuse(posteriors), posteriors.mean(axis=(1, 2)), atol=1e-6)


@settings(deadline=None)
@given(posteriors=posterior_sets(min_side=2), fragments=methods)
def test_fragments_are_fused_before_channels(posteriors, fragments):
    by_channel = np.stack(
        [fuse(posteriors[:, [c]], fragments=fragments) for c in range(posteriors.shape[1])], axis=1
    )
    np.testing.assert_allclose(
        fuse(posteriors, fragments=fragments), by_channel.mean(axis=1), atol=1e-12
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mean", [0.5, 0.4, 0.1]),
        # √(0.8·0.2)=0.4, √(0.1·0.7)=0.264575, √(0.1·0.1)=0.1; over their sum 0.764575.
        ("log_mean", [0.523166, 0.346042, 0.130792]),
        ("max", [0.8 / 1.6, 0.7 / 1.6, 0.1 / 1.6]),
        ("median", [0.5, 0.4, 0.1]),
        # One vote each: the mean posterior decides, by a hair.
        ("vote", [0.5, 0.5, 0.0]),
    ],
)
def test_two_fragments_by_hand(method, expected):
    posteriors = one_channel([0.8, 0.1, 0.1], [0.2, 0.7, 0.1])
    scores = fuse(posteriors, fragments=method)
    np.testing.assert_allclose(scores, [expected], atol=2e-6)
    assert scores.argmax() == 0


def test_votes_count_and_the_mean_parts_only_ties():
    outvoted = one_channel([0.51, 0.49, 0], [0.51, 0.49, 0], [0, 1, 0])
    assert fuse(outvoted, fragments="vote").argmax() == 0
    assert fuse(outvoted, fragments="mean").argmax() == 1
    tied = one_channel([0.6, 0.4, 0], [0.1, 0.9, 0])
    assert fuse(tied, fragments="vote").argmax() == 1


def test_a_fragment_that_cannot_decide_shares_its_vote():
    scores = fuse(one_channel([0.5, 0.5, 0], [0.1, 0.2, 0.7]), fragments="vote")
    np.testing.assert_allclose(scores, [[0.25, 0.25, 0.5]], atol=1e-6)


def test_a_posterior_of_zero_is_no_veto_in_the_geometric_mean():
    scores = fuse(one_channel([1, 0, 0], [0, 1, 0], [0, 1, 0]), fragments="log_mean")
    assert scores.argmax() == 1
    assert np.isfinite(scores).all()


def test_a_median_of_zero_everywhere_falls_back_on_the_mean():
    scores = fuse(one_channel([1, 0, 0], [0, 1, 0], [0, 0, 1]), fragments="median")
    np.testing.assert_allclose(scores, np.full((1, 3), 1 / 3))


@pytest.mark.parametrize("axis", ["fragments", "channels"])
def test_unknown_method_lists_the_choices(axis):
    with pytest.raises(
        UserError, match=f"fusion of {axis}: expected one of mean, .*did you mean 'mean'"
    ):
        fuse(one_channel([1, 0]), **{axis: "means"})


@pytest.mark.parametrize(
    ("posteriors", "message"),
    [
        (np.ones((2, 3)), r"got shape \(2, 3\)"),
        (np.ones((0, 1, 1, 2)), "none of length 0"),
        (np.array([[[[0.5, 0.5]]], [[[np.nan, 1]]]]), "1 of 2 recordings .* recording 1"),
        (np.array([[[[2.0, -1.0]]]]), "minimum of -1"),
        (np.array([[[[3.0, 4.0]]]]), "logits"),
    ],
)
def test_what_are_no_posteriors_is_refused(posteriors, message):
    with pytest.raises(ValueError, match=message):
        check_posteriors(posteriors)


def test_fuse_refuses_them_too():
    with pytest.raises(ValueError, match="not finite"):
        fuse(one_channel([np.nan, 1]))
