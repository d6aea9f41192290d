import numpy as np
import pytest
import tiny_set

import ascjax
from ascjax.errors import UserError
from ascjax.runs import novelty
from ascjax.runs.network import TrainedNetwork


class Network(TrainedNetwork):
    """Its features of a recording are the means of its log-mel in three groups of bands."""

    def __init__(self):
        pass

    def of_part(self, part):
        log_mel = part.log_mel[part.indices][:, 0, :30]
        features = log_mel.reshape(len(log_mel), 3, -1).mean(axis=2)
        return None, features, log_mel.std(axis=2)


def test_what_lies_apart_from_training_is_novel():
    train, held_out = tiny_set.make_part(60), tiny_set.make_part(30, seed=1)
    model = novelty.fit(Network(), train, held_out)
    assert model.quantile == 0.95
    _, features, statistics = Network().of_part(held_out)
    distances = novelty.novelty_of(features, statistics, model)
    assert distances.max() == pytest.approx(1, abs=1e-6)
    longer = novelty.novelty_of(2 * features, statistics, model)
    np.testing.assert_allclose(longer, distances, rtol=1e-4)
    assert novelty.novelty_of(-features, statistics, model).min() > 1
    assert novelty.novelty_of(features, 0 * statistics, model).min() > 1


def test_it_takes_a_validation_part_that_can_set_a_threshold():
    train = tiny_set.make_part(60)
    assert novelty.fit(Network(), train, None) is None
    assert novelty.fit(Network(), train, tiny_set.make_part(18)) is None


def test_large_parts_are_thinned(monkeypatch):
    monkeypatch.setattr(novelty, "MAX_TRAINING", 10)
    seen = []

    class Counting(Network):
        def of_part(self, part):
            seen.append(part.indices.tolist())
            return super().of_part(part)

    novelty.fit(Counting(), tiny_set.make_part(91), tiny_set.make_part(30))
    assert seen[0] == list(range(0, 91, 10))
    assert len(seen[1]) == 30


def test_a_file_gives_the_model_back(tmp_path):
    model = novelty.fit(Network(), tiny_set.make_part(60), tiny_set.make_part(30))
    assert novelty.read(tmp_path) is None
    novelty.write(tmp_path, model)
    again = novelty.read(tmp_path)
    for name, value in vars(model).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    _, features, statistics = Network().of_part(tiny_set.make_part(3))
    with pytest.raises(UserError, match=r"^novelty\.npz of the run: expected means of 32 features"):
        novelty.novelty_of(features[:, 1:], statistics, model)
    for damage in (
        {"threshold": np.array("far")},
        {"means": model.means.astype(str)},
        {"means": model.means[0]},
    ):
        np.savez(tmp_path / "novelty.npz", **{**vars(model), **damage})
        with pytest.raises(UserError, match=r"/novelty\.npz: .*; remove results\.json there"):
            novelty.read(tmp_path)
    (tmp_path / "novelty.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"novelty\.npz: expected the arrays"):
        novelty.read(tmp_path)


def test_runs_with_a_validation_part_have_one(tmp_path):
    root = tiny_set.write_set(tmp_path / "set", per_scene=28)
    settings = {"protocol": "validated", "data.validation_fraction": 0.5}
    settings |= {"train.num_epochs": 1, "num_devices": 1}
    run = ascjax.train(tiny_set.config(tmp_path, root, **settings), tmp_path / "run")
    model = novelty.read(run.path)
    assert model.means.shape == (3, 8 + 2 * 40)
    assert 0 < model.threshold < np.inf
