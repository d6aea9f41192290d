"""Every name and number of a config is checked before any work, by one line that names its key."""

import re

import pytest

from ascjax.config import flatten
from ascjax.configs import common
from ascjax.errors import UserError
from ascjax.setup import check
from ascjax.setup.check import RANGES

NAMES = {
    "protocol": "papers",
    "data.layout": "tutt",
    "data.on_bad_file": "skipp",
    "data.resident": "yes",
    "features.name": "logmel",
    "model.trunk": "vgg61",
    "model.head": "gab",
    "model.compute_dtype": "float16",
    "fusion.fragments": "avg",
    "fusion.channels": "avg",
    "init.input_channel": "summ",
    "init.freeze": "all",
    "optimizer.name": "adamww",
    "optimizer.schedule": "cosin",
}


def refused(**leaves):
    config = common.get_config()
    config.update_from_flattened_dict(leaves)
    with pytest.raises(UserError) as error:
        check(config)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def test_the_defaults_pass():
    check(common.get_config())


@pytest.mark.parametrize("key", NAMES)
def test_an_unknown_name_lists_the_choices(key):
    message = refused(**{key: NAMES[key]})
    assert re.match(rf"config\.{re.escape(key)}: expected ", message), message
    assert NAMES[key] in message


@pytest.mark.parametrize("key", RANGES)
def test_a_number_outside_its_range(key):
    low, high = RANGES[key]
    kind = type(flatten(common.get_config().to_dict())[key])
    for value in (kind(low - 1), kind(high + 1)):
        assert f"config.{key}: expected {low:g} to {high:g}, got {value}" == refused(**{key: value})


def test_every_number_has_a_range():
    numbers = {
        key
        for key, value in flatten(common.get_config().to_dict()).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    # The front end checks its own; the fraction's bounds are exclusive.
    own = {key for key in numbers if key.startswith("features.")} | {"data.validation_fraction"}
    assert numbers - own == set(RANGES)


@pytest.mark.parametrize("channels", [(), ("left", "left"), ("middle",)])
def test_channels_that_are_none(channels):
    assert "config.channels: expected one " in refused(channels=channels)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_a_validation_part_of_nothing_or_everything(fraction):
    message = refused(**{"data.validation_fraction": fraction})
    assert "config.data.validation_fraction: expected above 0 and below 1" in message


def test_missing_and_unknown_leaves():
    config = common.get_config()
    del config.train.batch_size
    with pytest.raises(UserError, match=r"train\.batch_size"):
        check(config)
    config = common.get_config()
    config.train.batchsize = 3
    with pytest.raises(UserError, match=r"train\.batchsize.*did you mean 'train\.batch_size'"):
        check(config)


def test_a_hop_without_windows():
    message = refused(**{"data.window_hop_s": 5.0})
    assert "config.data.window_hop_s is the distance of windows: expected config.data." in message
    config = common.get_config()
    config.update_from_flattened_dict({"data.window_hop_s": 5.0, "data.window_s": 10.0})
    check(config)


@pytest.mark.parametrize("key", ["data.window_s", "data.window_hop_s"])
@pytest.mark.parametrize("seconds", [1e-320, 1e-9, 0.009])
def test_windows_without_end(key, seconds):
    expected = f"config.{key}: expected 0 or at least 0.01 seconds, got {seconds}"
    assert refused(**{"data.window_s": 10.0, key: seconds}) == expected


def test_a_warm_up_longer_than_the_run():
    message = refused(**{"train.num_epochs": 2, "optimizer.warmup_epochs": 3.0})
    assert "config.optimizer.warmup_epochs: expected at most config.train.num_epochs, 2" in message
