import numpy as np
import pytest

from ascjax.scoring.open_set import fit_threshold, measure


def scores(*confidences, scene=0):
    """Of two scenes, ``scene`` predicted with these confidences."""
    rows = np.stack([confidences, 1 - np.array(confidences)], axis=1)
    return rows if scene == 0 else rows[:, ::-1]


def test_counts_by_hand():
    known = np.concatenate([scores(0.9, 0.6, 0.8), scores(0.9, scene=1)])
    found = measure(known, np.array([0, 0, 1, 1]), scores(0.55, 0.65, 0.95, 0.7), 0.7)
    # Scene 0: one of two, as 0.6 is below. Scene 1: one of two, the other one is taken for scene 0.
    assert (found.known.correct, found.known.total) == (2, 4)
    assert (found.unknown.correct, found.unknown.total) == (2, 4)
    assert found.known_macro == 0.5
    assert found.mean == 0.5


def test_scenes_weigh_alike_however_many_recordings_they_have():
    known = np.concatenate([scores(0.9, 0.9, 0.9), scores(0.6, scene=1)])
    found = measure(known, np.array([0, 0, 0, 1]), scores(0.55), 0.7)
    assert found.known.accuracy == 0.75
    assert found.known_macro == 0.5
    assert found.mean == 0.75


@pytest.mark.parametrize("seed", range(5))
def test_the_fitted_threshold_is_as_good_as_any(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=40)
    known = rng.dirichlet([0.7] * 3, 40)
    known[np.arange(40), labels] += rng.random(40)
    known /= known.sum(axis=1, keepdims=True)
    others = rng.dirichlet([2.0] * 3, 25)
    chosen = measure(known, labels, others, fit_threshold(known, labels, others)).mean
    tried = [measure(known, labels, others, t).mean for t in np.linspace(0, 1, 300)]
    assert chosen >= max(tried) - 1e-12


def test_a_threshold_lies_between_what_it_parts():
    threshold = fit_threshold(scores(0.9, 0.8), np.array([0, 0]), scores(0.6, 0.55))
    assert threshold == pytest.approx(0.7)
