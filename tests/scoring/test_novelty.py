import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.scoring.novelty import fit_novelty, novelty


def embeddings(count, features=32, scenes=3, seed=0):
    """Embeddings ≥ 0, as after a ReLU and a mean, that vary mostly along four directions."""
    rng = np.random.default_rng(seed)
    structure = np.random.default_rng(99)
    means = structure.uniform(1, 3, size=(scenes, features))
    mixing = structure.normal(scale=0.2, size=(4, features))
    labels = np.arange(count) % scenes
    noise = rng.normal(size=(count, 4)) @ mixing + rng.normal(scale=0.05, size=(count, features))
    return np.maximum(means[labels] + noise, 0).astype(np.float32), labels


def test_distance_by_hand():
    # One scene of mean 0. Sums of squares 8 and 2 on 4 − 1 degrees of freedom: variances 8/3, 2/3.
    train = np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]])
    model = fit_novelty(train, np.zeros(4, int), train, max_directions=1)
    np.testing.assert_allclose(np.abs(model.directions), [[1, 0]], atol=1e-7)
    np.testing.assert_allclose([*model.variances, model.residual_variance], [8 / 3, 2 / 3])
    # 4² / (8/3) = 2² / (2/3) = 6, of two features: √(6/2).
    far = np.array([[4.0, 0], [0, 2], [0, 0]])
    np.testing.assert_allclose(novelty(far, model), [math.sqrt(3), math.sqrt(3), 0], rtol=1e-6)


def test_the_nearest_scene_counts():
    train = np.array([[0.0, 0], [2, 0], [10, 1], [12, 1]])
    model = fit_novelty(train, np.array([5, 5, 7, 7]), train)
    np.testing.assert_allclose(model.means, [[1, 0], [11, 1]])
    np.testing.assert_allclose(novelty(np.array([[1.0, 0], [11, 1]]), model), 0)


def test_the_threshold_keeps_the_quantile_of_held_out_recordings():
    train, labels = embeddings(300)
    held_out, _ = embeddings(99, seed=1)
    model = fit_novelty(train, labels, held_out, quantile=0.99)
    # The ⌈100 · 0.99⌉ = 99th smallest of 99 is the largest.
    assert model.threshold == novelty(held_out, model).max()
    assert not (novelty(held_out, model) > model.threshold).any()
    assert fit_novelty(train, labels, held_out[1:], quantile=0.99).threshold == math.inf
    ninety = fit_novelty(train, labels, held_out, quantile=0.9)
    assert (novelty(held_out, ninety) > ninety.threshold).sum() == 9


def test_ordinary_recordings_lie_about_1_off_and_silence_is_novel():
    train, labels = embeddings(600)
    model = fit_novelty(train, labels, embeddings(200, seed=1)[0])
    new, _ = embeddings(1000, seed=2)
    assert np.sqrt((novelty(new, model) ** 2).mean()) == pytest.approx(1, abs=0.15)
    assert (novelty(new, model) > model.threshold).mean() < 0.03
    assert novelty(np.zeros((1, 32), np.float32), model) > model.threshold
    assert novelty(new[:1] * 3, model) > model.threshold


def test_fewer_recordings_than_features_and_features_that_never_move():
    train, labels = embeddings(12, features=64)
    train[:, 5] = 0
    model = fit_novelty(train, labels, train, quantile=0.5)
    assert np.isfinite(novelty(embeddings(20, features=64, seed=1)[0], model)).all()
    assert model.means.dtype == model.directions.dtype == model.variances.dtype == np.float32


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_with_every_direction_it_is_mahalanobis_distance(features, seed):
    rng = np.random.default_rng(seed)
    train = rng.normal(size=(40, features)) @ rng.normal(size=(features, features))
    labels = np.arange(40) % 2
    model = fit_novelty(train, labels, train, max_directions=features)
    means = np.stack([train[labels == scene].mean(axis=0) for scene in (0, 1)])
    deviations = train - means[labels]
    covariance = deviations.T @ deviations / 38
    if np.linalg.cond(covariance) > 1e4:
        return
    differences = train[:, None] - means
    squared = np.einsum("nsf,fg,nsg->ns", differences, np.linalg.inv(covariance), differences)
    expected = np.sqrt(squared.min(axis=1) / features)
    np.testing.assert_allclose(novelty(train, model), expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("train", "held_out", "message"),
    [
        (np.ones((0, 2)), np.ones((1, 2)), "training"),
        (np.ones((2, 2)), np.array([[1.0, np.nan]]), "held-out"),
        (np.ones((2, 2)), np.ones((1, 2)), "all equal"),
    ],
)
def test_embeddings_that_fit_nothing_are_refused(train, held_out, message):
    with pytest.raises(ValueError, match=message):
        fit_novelty(train, np.zeros(len(train), int), held_out)
