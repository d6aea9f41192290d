"""Every config builds, and every leaf of it is read by something."""

from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny_set import make_part

from ascjax import models
from ascjax.audio import frontends
from ascjax.config import flatten, load_config
from ascjax.errors import UserError
from ascjax.runs import experiment
from ascjax.setup import builders

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
            self._read.update(self._prefix + key for key in values)
        return values


@pytest.mark.parametrize("name", CONFIGS)
def test_it_builds_its_network_and_recipe(name):
    config = load_config(name)
    builders.check(config)
    frames = 431 // config.fragments.count
    models.check_input(config.model.trunk, config.features.num_mels, frames)
    # Shapes of the real network are enough; a small one is built in full below.
    module = models.create_model(num_scenes=10, **config.model.to_dict())
    assert module is not None
    config.model.trunk, config.init.weights = "vgg_tiny", "random"
    networks = builders.build_networks(config, num_scenes=3, input_shape=(32, 33))
    plan = builders.build_plan(config, make_part(num_recordings=32))
    mean, deviation = np.zeros(32, np.float32), np.ones(32, np.float32)
    builders.build_recipe(config, networks, plan, num_scenes=3, mean=mean, deviation=deviation)


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
    front_end = frontends.make("log_mel", 48_000, config.features.to_dict())
    lengths = (front_end.window_length, front_end.hop_length, front_end.fft_length)
    assert lengths == (1920, 960, 2048)
    assert front_end.num_frames(480_000) == 501
    assert (front_end.num_mels, front_end.window, front_end.mel_norm) == (40, "hamming", "none")


@pytest.mark.parametrize("count", [9, 12])
def test_alexnet_on_too_many_fragments_is_refused(count):
    config = load_config("alexnet")
    front_end = frontends.make("log_mel", 48_000, config.features.to_dict())
    with pytest.raises(UserError, match=f"alexnet needs .* 63 frames, got 128 × {431 // count}: "):
        models.check_input("alexnet", 128, front_end.num_frames(480_000) // count)


def test_every_leaf_is_read(tmp_path, monkeypatch):
    """A knob that nothing reads is a lie; the main job on the synthetic set reads them all."""
    config = load_config("common")
    config.update_from_flattened_dict({
        "protocol": "validated", "data.layout": "synthetic", "data.root": str(tmp_path / "set"),
        "data.store_dir": str(tmp_path / "store"), "synthetic.num_recordings": 80,
        "synthetic.duration_s": 1.0, "model.trunk": "vgg_tiny", "features.num_mels": 40,
        "train.num_epochs": 1, "train.batch_size": 16,
    })  # fmt: skip
    config.init.weights = "imagenet"
    config.init.weights_dir = str(tmp_path)
    config.model.trunk = "resnet18"
    with pytest.raises(UserError, match=f"{tmp_path}/resnet18.safetensors"):
        builders.build_networks(config, num_scenes=3, input_shape=(32, 33))
    config.model.trunk = "vgg_tiny"
    config.init.weights = "random"
    config.read_by_nobody = 1
    config.train.read_by_nobody = 1
    read = set()
    experiment.train_and_evaluate(Reading(config, read), tmp_path / "run")
    read.add("init.weights_dir")  # above, where weights are wanted
    unread = set(flatten(config.to_dict())) - read
    assert unread == {"read_by_nobody", "train.read_by_nobody"}
