import json

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_set
import tiny_trunk

from ascjax.data import normalisation
from ascjax.errors import UserError
from ascjax.probing import __main__ as command
from ascjax.probing import blocks, features, probe
from ascjax.setup import Setup, survey
from ascjax.setup import network as builders
from ascjax.signals import StopRequest


def made_up(seed=0, recordings=60):
    """Three scenes, each with a feature of its own, among noise of all scales."""
    rng = np.random.default_rng(seed)
    labels = np.arange(recordings) % 3
    values = rng.normal(size=(recordings, 12)) * np.logspace(-3, 3, 12)
    values[np.arange(recordings), labels] *= 0.01
    values[np.arange(recordings), labels] += 5 * np.logspace(-3, 3, 12)[labels]
    return values.astype(np.float32), labels


def test_a_probe_finds_what_is_linear_at_any_scale():
    train, labels = made_up()
    folds = probe.inner_folds([str(label) for label in labels], [""] * 60)
    test, truth = made_up(seed=1)
    scores, strength = probe.predict(train, labels, folds, test)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert (scores.argmax(axis=1) == truth).mean() > 0.8
    assert strength in probe.STRENGTHS


def test_where_nothing_is_known_the_penalty_is_strong_and_scores_are_even():
    train, labels = made_up()
    shuffled = np.random.default_rng(2).permutation(labels)
    folds = probe.inner_folds([str(label) for label in shuffled], [""] * 60)
    scores, strength = probe.predict(train, shuffled, folds, made_up(seed=1)[0])
    assert strength <= 1e-2
    assert scores.max() < 0.6


def test_inner_folds_keep_locations_together():
    scenes = ["bus"] * 12 + ["park"] * 12
    locations = [f"b{i // 2}" for i in range(12)] + [f"p{i // 3}" for i in range(12)]
    folds = probe.inner_folds(scenes, locations)
    pairs = set(zip(locations, folds, strict=True))
    assert len(pairs) == len(set(locations))
    with pytest.raises(UserError, match="scene 'park' has one location in the training part"):
        probe.inner_folds(["bus", "bus", "park", "park"], ["a", "b", "c", "c"])


@pytest.fixture
def config(finished_run, tmp_path):
    folder, root = finished_run[0].parent, finished_run[1]
    return tiny_set.config(folder, root, channels=("left", "average"), num_devices=1)


def test_features_are_the_means_of_the_blocks_maps(config):
    with StopRequest() as stop:
        setup = Setup(config, survey(config, stop))
        data = setup.extract(stop)
        mean, deviation = normalisation.mel_statistics(data.store.log_mel, data.train.indices)
        made = features.of_parts(setup, data, None, mean, deviation, stop)
    assert list(made) == features.names("tiny") == ["input", "block"]
    networks = builders.networks(config, None, 3, setup.input_shape)
    batch = data.test.take(np.arange(len(data.test)))["log_mel"]
    normalised = normalisation.normalise(jnp.asarray(batch), mean, deviation)
    block = {name: of["trunk"]["block"] for name, of in networks.variables.items() if "trunk" in of}
    maps = tiny_trunk.Block().apply(block, normalised, False)
    expected = np.asarray(maps).mean(axis=(1, 2)).reshape(*data.test.shape, -1).mean(axis=(1, 2))
    np.testing.assert_allclose(made["block"][1], expected, rtol=1e-5, atol=1e-6)
    bands = normalised[..., 0]
    statistics = np.concatenate([bands.mean(-1), bands.std(-1)], axis=-1)
    expected = statistics.reshape(*data.test.shape, -1).mean(axis=(1, 2))
    np.testing.assert_allclose(made["input"][1], expected, rtol=1e-4, atol=1e-5)


def test_all_folds_are_probed_and_go_on_from_kept_features(
    config, finished_run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(probe, "STRENGTHS", (0.01, 0.1))
    words = [
        "probe", f"--config={tiny_set.CONFIG}", "--folds=all", f"--workdir={tmp_path / 'probes'}",
        "--config.channels=left,average", f"--config.data.root={finished_run[1]}",
        *(f"--config.{key}={value}" for key, value in
          tiny_set.overrides(finished_run[0].parent).items()),
    ]  # fmt: skip
    command.main(command.parse(words))
    said = capsys.readouterr().out
    assert said.splitlines()[-2] == "30 recordings, 2 folds; intervals over 10 locations"
    found = json.loads((tmp_path / "probes" / "probes.json").read_text())
    assert [each["block"] for each in found["starts"]["random"]] == ["input", "block"]
    assert found["starts"]["random"][0]["summary"]["accuracy"]["total"] == 30
    assert (tmp_path / "probes" / "probes.png").read_bytes()[:4] == b"\x89PNG"
    kept = sorted((tmp_path / "probes" / "features").iterdir())
    assert len(kept) == 2
    kept[0].write_bytes(b"damaged")
    computed = []
    of_parts = features.of_parts
    monkeypatch.setattr(
        features, "of_parts", lambda *args: computed.append(args) or of_parts(*args)
    )
    command.main(command.parse(words))
    again = capsys.readouterr().out
    assert again.count("is damaged; its features are computed again") == 1
    assert again.splitlines()[-5:] == said.splitlines()[-5:]
    assert len(computed) == 1


def test_starts_are_compared_over_locations(config, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "STRENGTHS", (0.01, 0.1))
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"known to the stand-in alone")
    monkeypatch.setattr(blocks.setups, "weights_file", lambda config: weights)
    of_parts = features.of_parts

    def stand_in(setup, data, file, *args):
        made = of_parts(setup, data, None, *args)
        if file:
            made["block"] = tuple(np.zeros_like(part) for part in made["block"])
        return made

    monkeypatch.setattr(features, "of_parts", stand_in)
    found = blocks.probe_blocks(config, tmp_path / "probes", all_folds=True)
    alike, worse = (found.mcnemar_by_location[block] for block in ("input", "block"))
    assert (alike.clusters, alike.favour_a, alike.favour_b, alike.p) == (10, 0, 0, 1)
    assert worse.favour_b > worse.favour_a
    assert worse.p > found.mcnemar["block"].p
    table = blocks.table(found)
    assert table.endswith("30 recordings, 2 folds; intervals and p over 10 locations")
    assert f"{worse.p:.2g}" in table


def test_mistakes(config, tmp_path):
    config.protocol = "validated"
    with pytest.raises(UserError, match=r"config\.protocol: expected 'paper', got 'validated'"):
        blocks.probe_blocks(config, tmp_path, all_folds=False)


def test_a_scene_that_an_inner_fold_lacks_leaves_a_choice():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    features = rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[labels]
    folds = [i % 5 for i in range(40)] + [i % 2 for i in range(20)]
    scores, strength = probe.predict(features, labels, folds, features)
    assert strength > min(probe.STRENGTHS)
    assert (scores.argmax(axis=1) == labels).mean() > 0.9
