import jax
import numpy as np
import pytest

from ascjax.audio import frontends
from ascjax.errors import UserError


@pytest.mark.parametrize(
    ("name", "rate", "settings"),
    [
        ("log_mel", 48_000, {}),  # an FFT of 2,250 = 45 · 50
        ("log_mel", 16_000, {"num_mels": 20, "min_fft_length": 729, "window": "hamming"}),
        ("log_mel", 8_000, {"num_mels": 16, "hop_size_s": 0.0464, "mel_norm": "none"}),
        ("pcen", 16_000, {"num_mels": 40}),
    ],
)
def test_traced_front_ends_are_the_reference_up_to_float32(name, rate, settings):
    front_end = frontends.make(name, rate, settings)
    rng = np.random.default_rng(0)
    time_s = np.arange(rate) / rate
    wave = np.stack([0.3 * np.sin(2 * np.pi * 700 * time_s), np.zeros(rate)])
    wave = np.float32(wave + 1e-3 * rng.normal(size=wave.shape))
    found, expected = jax.jit(front_end.traced)(wave), front_end.reference(wave)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-3 * max(1, np.abs(expected).max() / 10)


def test_a_front_end_without_that_form_says_so():
    class Other(frontends.LogMel):
        name = "other"
        traced = frontends.FrontEnd.traced

    with pytest.raises(UserError, match="front end other: has no form that can be exported"):
        Other(16_000, 20).traced(np.zeros((1, 16_000), np.float32))
