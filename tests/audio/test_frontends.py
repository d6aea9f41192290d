import doctest
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from waves import noise

from ascjax.audio import frontends, logmel, pcen
from ascjax.audio.frontend import FrontEnd
from ascjax.audio.logmel import LogMel
from ascjax.audio.pcen import Pcen
from ascjax.errors import UserError

# What one group of a config holds: settings of every front end, and groups of single ones.
SETTINGS = {"num_mels": 16, "log_floor": 1e-3, "pcen": {"gain": 0.5, "bias": 3.0}}


@dataclass(frozen=True)
class Magnitude(FrontEnd):
    """Magnitudes of the Fourier transform of blocks: a front end without mel bands."""

    name: ClassVar[str] = "magnitude"

    block_length: int = 256

    @property
    def num_mels(self) -> int:
        return self.block_length // 2 + 1

    @property
    def hop_length(self) -> int:
        return self.block_length

    def num_frames(self, num_samples):
        return num_samples // self.block_length

    def compute(self, wave, shares):
        values = self.reference(wave)
        return values if shares is None else self.reference(shares @ wave)

    def reference(self, wave):
        num_frames = self.num_frames(wave.shape[-1])
        blocks = wave[..., : num_frames * self.block_length]
        blocks = blocks.reshape(*wave.shape[:-1], num_frames, self.block_length)
        return np.abs(np.fft.rfft(blocks)).swapaxes(-1, -2).astype(np.float32)


def test_a_front_end_of_another_kind_takes_one_entry(monkeypatch):
    monkeypatch.setitem(frontends.FRONT_ENDS, "magnitude", Magnitude)
    front_end = frontends.make("magnitude", 16_000, {**SETTINGS, "block_length": 64})
    assert front_end == Magnitude(16_000, 64)
    values = front_end(noise(1_600))
    assert values.shape == (front_end.num_mels, front_end.num_frames(1_600)) == (33, 25)
    assert frontends.from_dict(json.loads(json.dumps(front_end.to_dict()))) == front_end
    assert frontends.make("log_mel", 16_000, {**SETTINGS, "block_length": 64}).num_mels == 16


@pytest.mark.parametrize("name", frontends.FRONT_ENDS)
def test_every_front_end_is_registered_by_its_name_and_survives_json(name):
    front_end = frontends.make(name, 44_100, SETTINGS)
    assert front_end.name == name
    assert front_end.to_dict()["name"] == name
    assert frontends.from_dict(json.loads(json.dumps(front_end.to_dict()))) == front_end
    assert front_end(noise(4_410)).shape == (16, front_end.num_frames(4_410))


def test_each_front_end_takes_the_settings_that_are_its_own():
    assert frontends.make("log_mel", 16_000, SETTINGS) == LogMel(16_000, 16, log_floor=1e-3)
    assert frontends.make("pcen", 16_000, SETTINGS) == Pcen(16_000, 16, gain=0.5, bias=3.0)
    own = {**SETTINGS, "pcen": {"num_mels": 20}}
    assert frontends.make("pcen", 16_000, own) == Pcen(16_000, 20)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("pcem", {}, "^name: expected one of log_mel, pcen, got 'pcem'; did you mean 'pcen'"),
        ("log_mel", {"num_mel": 3}, "^num_mel: not a setting .*did you mean 'num_mels'"),
        ("log_mel", {"gian": 3}, "^gian: not a setting"),
        ("log_mel", {"sample_rate_hz": 3}, "^sample_rate_hz: not a setting"),
        ("log_mel", {"pcem": {}}, "^pcem: expected one of log_mel, pcen"),
        ("log_mel", {"pcen": {"gian": 1.0}}, r"^pcen\.gian: not a setting .*mean 'gain'"),
        ("pcen", {"pcen": {"log_floor": 1.0}}, r"^pcen\.log_floor: not a setting"),
        ("pcen", {"pcen": {"gain": 2.0}}, r"^pcen\.gain: expected a number from 0 to 1"),
        ("pcen", {"num_mels": 0, "pcen": {"gain": 1.0}}, "^num_mels: expected a finite number"),
    ],
)
def test_a_mistake_in_the_settings_is_named_by_its_path(name, settings, message):
    with pytest.raises(UserError, match=message):
        frontends.make(name, 16_000, settings)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("num_mels", 40.0, "an integer, got 40.0"),
        ("num_mels", True, "an integer, got True"),
        ("window_size_s", "46 ms", "a number, got '46 ms'"),
        ("window_size_s", None, "a number, got None"),
        ("window", 3, "a string, got 3"),
    ],
)
def test_a_value_of_another_type_is_refused(key, value, expected):
    with pytest.raises(UserError, match=f"^{key}: expected {expected}"):
        frontends.make("log_mel", 16_000, {key: value})
    with pytest.raises(UserError, match=rf"^pcen\.{key}: expected {expected}"):
        frontends.make("pcen", 16_000, {"pcen": {key: value}})


def test_settings_from_before_there_were_names_are_a_log_mel():
    front_end = LogMel(44_100, 64, log_floor=1e-4, window="hamming")
    settings = front_end.to_dict()
    del settings["name"]
    assert frontends.from_dict(settings) == front_end


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cqt", "sample_rate_hz": 3}, "^name: expected one of log_mel, pcen, got 'cqt'"),
        ({"name": ["pcen"], "sample_rate_hz": 3}, "^name: expected a string, got"),
        ({"num_mels": 5}, "^centring: expected a setting of the front end log_mel, got none"),
        ({"sample_rate_hz": 48_000, "mels": 5}, "^mels: not a setting"),
        ({"sample_rate_hz": 48_000, "pcen": {"gain": 1.0}}, "^pcen: not a setting"),
        (
            {**LogMel(48_000).to_dict(), "sample_rate_hz": "48 kHz"},
            "^sample_rate_hz: expected an integer, got '48 kHz'",
        ),
    ],
)
def test_a_damaged_dict_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        frontends.from_dict(settings)


@pytest.mark.parametrize("module", [logmel, pcen])
def test_examples_in_docstrings_run(module):
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted > 0) == (0, True)


def test_settings_are_made_and_read_without_jax_or_librosa():
    code = (
        "import sys; from ascjax.audio import frontends\n"
        "frontends.from_dict(frontends.make('pcen', 48_000, {}).to_dict())\n"
        "sys.exit(' '.join({'jax', 'librosa'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
