"""Every config builds, and every leaf of it is read by something."""

from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_set
from ml_collections import ConfigDict

from ascjax import models
from ascjax import setup as setups
from ascjax.audio import frontends
from ascjax.config import flatten, load_config
from ascjax.errors import UserError
from ascjax.runs import experiment
from ascjax.runs.following import follow
from ascjax.setup import network as builders
from ascjax.signals import StopRequest

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


class Reading(ConfigDict):
    """A config that remembers which of its leaves were read, by name or as a section's keywords."""

    def __init__(self, config, read, prefix=""):
        super().__init__()
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_prefix", prefix)
        for key, value in config.items():
            if isinstance(value, ConfigDict):
                value = Reading(value, read, f"{prefix}{key}.")
            self[key] = value

    def __getitem__(self, key):
        self._read.add(self._prefix + key)
        return super().__getitem__(key)

    def __getattr__(self, key):
        self._read.add(self._prefix + key)
        return super().__getattr__(key)

    def to_dict(self, *args, **options):
        # The whole config is written down; that is no use of its leaves.
        before = set(self._read)
        values = super().to_dict(*args, **options)
        self._read.clear()
        self._read.update(before)
        if self._prefix:
            self._read.update(self._prefix + key for key in flatten(values))
        return values


@pytest.mark.parametrize("name", CONFIGS)
def test_it_builds_its_network_and_step(name):
    config = load_config(name)
    setups.check(config)
    front_end = frontends.make("log_mel", 48_000, frontend_settings(config))
    shape = (front_end.num_mels, front_end.num_frames(480_000) // config.fragments.count)
    # Shapes of the real network are enough; a small one is built in full.
    network = builders.evaluation_network(config, num_scenes=10)
    example = jax.ShapeDtypeStruct((1, *shape, 1), np.float32)
    variables = jax.eval_shape(
        lambda key, x: network.init(key, x, train=False), jax.random.key(0), example
    )
    head = variables["params"]["head"]
    assert jax.tree.leaves(head["dense" if "dense" in head else list(head)[-1]])[0].shape == (10,)
    config.model.trunk, config.model.head, config.init.weights = "tiny", "gap", "random"
    networks = builders.networks(config, None, num_scenes=3, input_shape=(32, 33))
    schedule = builders.schedule(config, num_examples=640)
    mean, deviation = np.zeros(32, np.float32), np.ones(32, np.float32)
    _, inputs = builders.step(
        config, networks, schedule, num_scenes=3, mean=mean, deviation=deviation
    )
    assert inputs.learning_rates[: schedule.num_steps - 1].min() > 0


def frontend_settings(config):
    settings = config.features.to_dict()
    settings.pop("name")
    return settings


@pytest.mark.parametrize("name", CONFIGS)
def test_its_docstring_says_how_to_run_it(name):
    text = (ROOT / "configs" / f"{name}.py").read_text()
    assert name == "common" or f"ascjax train --config={name}" in text
    assert "Takes: " in text


# Rows of the paper's tables: what each trains, and the accuracies (%) that its docstring must name.
ROWS = {
    "alexnet": (("alexnet", "gap", 1, 1), "59.5 64.3"),
    "vgg": (("vgg16", "gap", 1, 1), "61.9 70.6"),
    "resnet": (("resnet50", "gap", 1, 1), "61.6 70.2"),
    "vgg_fragments": (("vgg16", "gap", 1, 6), "71.6 73.9 71.8"),
    "baseline": (("baseline", "baseline", 1, 1), "59.7 0.7"),
    "vgg_channels": (("vgg16", "gap", 3, 6), "75.5"),
    "vgg_mlp": (("vgg16", "mlp", 3, 6), "77.8"),
}


@pytest.mark.parametrize("name", ROWS)
def test_each_row_of_the_paper_is_what_it_says(name):
    config = load_config(name)
    what, accuracies = ROWS[name]
    model, fragments = config.model, config.fragments.count
    assert what == (model.trunk, model.head, len(config.channels), fragments)
    assert config.init.weights == ("random" if name == "baseline" else "imagenet")
    text = (ROOT / "configs" / f"{name}.py").read_text()
    assert all(accuracy in text for accuracy in accuracies.split())
    assert name == "baseline" or f"ascjax convert {model.trunk} --out weights/" in text


def test_the_baselines_front_end_is_the_published_one():
    config = load_config("baseline")
    front_end = frontends.make("log_mel", 48_000, frontend_settings(config))
    lengths = (front_end.window_length, front_end.hop_length, front_end.fft_length)
    assert lengths == (1920, 960, 2048)
    assert front_end.num_frames(480_000) == 501
    assert (front_end.num_mels, front_end.window, front_end.mel_norm) == (40, "hamming", "none")


@pytest.mark.parametrize("count", [9, 12])
def test_alexnet_on_too_many_fragments_is_refused(count):
    config = load_config("alexnet")
    front_end = frontends.make("log_mel", 48_000, frontend_settings(config))
    with pytest.raises(UserError, match=f"alexnet needs .* 63 frames, got 128 × {431 // count}$"):
        models.check_input("alexnet", 128, front_end.num_frames(480_000) // count)


def test_every_leaf_is_read(tmp_path, monkeypatch):
    """A knob that nothing reads is a lie; the main job reads them all."""
    config = tiny_set.config(
        tmp_path, tmp_path / "set", protocol="validated", num_devices=1,
        **{"data.layout": "synthetic", "synthetic.num_recordings": 80,
           "synthetic.duration_s": 1.0, "train.num_epochs": 1},
    )  # fmt: skip
    read = set()
    missing = Reading(config, read)
    missing.init.weights, missing.model.trunk = "imagenet", "resnet18"
    missing.init.weights_dir = str(tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path}/resnet18.safetensors"):
        setups.weights_file(missing)
    builders.model_settings(missing)
    missing.protocol, missing.train.from_run = "all", str(tmp_path / "none")
    with pytest.raises(UserError, match="none: expected the folder of a run, there is none"):
        follow(missing)
    config.read_by_nobody = 1
    config.train.read_by_nobody = 1
    # Those leaves are unknown, and the check reads every leaf by its own means.
    monkeypatch.setattr(setups, "check", lambda config: None)
    experiment.train(Reading(config, read), tmp_path / "run")
    config.data.window_s = 0.5
    with StopRequest() as stop:
        setups.survey(Reading(config, read), stop)
    unread = set(flatten(config.to_dict())) - read
    assert unread == {"read_by_nobody", "train.read_by_nobody"}
