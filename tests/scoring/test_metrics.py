import numpy as np
import pytest

from ascjax.scoring import metrics
from ascjax.scoring.rates import proportion, wilson_interval


def test_log_loss_by_hand_and_clipped():
    scores = np.array([[0.5, 0.5], [0.75, 0.25]])
    np.testing.assert_allclose(
        metrics.log_loss(scores, np.array([0, 1])), (np.log(2) + np.log(4)) / 2
    )
    np.testing.assert_allclose(
        metrics.log_loss(np.array([[1.0, 0.0]]), np.array([1])), -np.log(1e-15)
    )


def test_confusion_and_macro_accuracy_by_hand():
    labels, predictions = np.array([0, 0, 0, 2]), np.array([0, 1, 0, 2])
    confusion = metrics.confusion_matrix(labels, predictions, scene_count=3)
    assert confusion.tolist() == [[2, 1, 0], [0, 0, 0], [0, 0, 1]]
    # Scene 1 has no recordings and doesn't count: (2/3 + 1) / 2.
    np.testing.assert_allclose(metrics.macro_accuracy(confusion), 5 / 6)


def test_folds_are_pooled_over_their_recordings():
    folds = metrics.pool_folds({1: proportion(8, 10), 2: proportion(27, 30)}, {1: 1.0, 2: 0.2})
    assert folds.by_fold == {"1": proportion(8, 10), "2": proportion(27, 30)}
    assert folds.accuracy == proportion(35, 40)
    assert folds.log_loss == pytest.approx((10 * 1.0 + 30 * 0.2) / 40)
    assert folds.mean == pytest.approx(0.85)
    assert folds.deviation == pytest.approx(0.1 / np.sqrt(2))
    assert folds.by_device == {}


def test_scenes_weigh_alike_whatever_the_folds():
    scenes = [
        {"bus": proportion(3, 4), "park": proportion(1, 2), "tram": proportion(0, 0)},
        {"bus": proportion(1, 4), "park": proportion(2, 2), "tram": proportion(0, 0)},
    ]
    losses = [{"bus": 1.0, "park": 2.0}, {"bus": 0.5, "park": 0.25}]
    accuracy = {1: proportion(4, 6), 2: proportion(3, 6)}
    totals = {1: 4 / 3, 2: 5 / 12}
    folds = metrics.pool_folds(accuracy, totals, by_scene=scenes, loss_by_scene=losses)
    assert folds.macro_accuracy == pytest.approx((4 / 8 + 3 / 4) / 2)
    assert folds.macro_log_loss == pytest.approx((0.75 + 1.125) / 2)
    unknown = metrics.pool_folds(accuracy, totals, by_scene=scenes, loss_by_scene=[losses[0], {}])
    assert unknown.macro_log_loss is None


def test_devices_are_pooled_over_the_folds_that_have_them():
    devices = [{"a": proportion(3, 4), "b": proportion(1, 2)}, {"b": proportion(2, 2)}]
    accuracy = {1: proportion(4, 6), 2: proportion(2, 2)}
    seen = [{"seen": proportion(3, 4), "unseen": proportion(1, 2)}, {"seen": proportion(2, 2)}]
    folds = metrics.pool_folds(accuracy, {1: 1.0, 2: 1.0}, by_device=devices, by_seen=seen)
    assert folds.by_device == {"a": proportion(3, 4), "b": proportion(3, 4)}
    assert folds.by_seen == {"seen": proportion(5, 6), "unseen": proportion(1, 2)}


def test_seeds_are_averaged():
    seeds = metrics.pool_seeds([8, 9, 7], 10)
    assert seeds.mean == pytest.approx(0.8)
    assert seeds.deviation == pytest.approx(0.1)
    assert seeds.interval_95 == wilson_interval(8, 10)
    assert metrics.pool_seeds([8], 10).deviation is None
