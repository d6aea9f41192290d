import numpy as np
import pytest
from waves import assert_as_reference, noise, quiet_and_loud

from ascjax.audio import wave
from ascjax.audio.pcen import Pcen
from ascjax.errors import UserError


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"gain": 0.8, "bias": 10.0, "power": 0.25, "time_constant_s": 0.06, "eps": 1e-3},
        {"gain": 0.0},
        {"gain": 1.0, "power": 1.0, "time_constant_s": 1e-3},
    ],
)
def test_agrees_with_librosa(parameters):
    front_end = Pcen(48_000, 40, **parameters)
    assert_as_reference(front_end, noise(96_000), rtol=1e-4)


@pytest.mark.parametrize("name", quiet_and_loud())
def test_agrees_with_librosa_on_quiet_and_loud(name):
    assert_as_reference(Pcen(48_000), quiet_and_loud()[name], rtol=1e-4)


def test_agrees_with_librosa_on_binaural_clips(shared):
    names = ("left", "right", "average")
    for path in sorted((shared / "data" / "binaural").glob("*.wav")):
        samples, rate = wave.read(path)
        values = Pcen(rate)(samples, wave.shares(names, 2))
        reference = Pcen(rate).reference(wave.to_channels(samples, names))
        np.testing.assert_allclose(values, reference, rtol=1e-4, err_msg=str(path))


def test_leading_axes_are_kept_and_independent():
    front_end = Pcen(48_000, 32)
    samples = np.stack([noise(9_600, seed) for seed in range(6)]).reshape(2, 3, 9_600)
    together = front_end(samples)
    assert together.shape == (2, 3, 32, front_end.num_frames(9_600))
    np.testing.assert_array_equal(together[1, 2], front_end(samples[1, 2]))


def test_the_average_is_as_slow_as_its_time_constant():
    # T = 0.4 s × 48,000 Hz / 1,114 = 17.235 frames: (√(1 + 4 T²) − 1) / (2 T²).
    assert Pcen(48_000).smoothing == pytest.approx(0.05636, abs=1e-5)
    assert Pcen(48_000, time_constant_s=1e-9).smoothing == pytest.approx(1)


def test_silence_is_0():
    np.testing.assert_array_equal(Pcen(48_000, 8)(np.zeros(9_600, np.float32)), 0)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("gain", -0.1, "from 0 to 1, got -0.1"),
        ("gain", 1.5, "from 0 to 1, got 1.5"),
        ("bias", 0.0, "above 0"),
        ("power", 0.0, "above 0"),
        ("power", 2.0, "from 0 to 1"),
        ("time_constant_s", 0.0, "above 0"),
        ("eps", 0.0, "above 0"),
        ("window_size_s", 1e-9, "less than 2 samples"),
    ],
)
def test_values_without_pcen_are_refused(key, value, reason):
    with pytest.raises(UserError, match=rf"^{key}: .*{reason}"):
        Pcen(48_000, **{key: value})
