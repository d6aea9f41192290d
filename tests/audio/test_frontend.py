import numpy as np
import pytest
from waves import noise

from ascjax.audio.logmel import LogMel
from ascjax.errors import UserError

FRONT_END = LogMel(16_000, 16)


@pytest.mark.parametrize("rate", [0, -48_000])
def test_a_rate_below_1_is_refused(rate):
    with pytest.raises(UserError, match="^sample_rate_hz: .*above 0, got"):
        LogMel(rate)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(1_600, np.int16), r"int16 of shape \(1600,\); divide"),
        (np.float32(0), r"float32 of shape \(\)"),
    ],
)
def test_an_array_that_is_no_waveform_is_refused(samples, reason):
    with pytest.raises(UserError, match=rf"expected float samples from −1 to 1 .*{reason}"):
        LogMel.__call__.__wrapped__(FRONT_END, samples)  # past the tests' own check of types


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(value):
    samples = noise(1_600)
    samples[7:9] = value
    with pytest.raises(UserError, match="not finite: 2 of 1,600 samples are NaN or infinite"):
        FRONT_END(samples)


def test_float64_and_jax_arrays_are_taken():
    import jax.numpy as jnp

    expected = FRONT_END(noise(1_600))
    np.testing.assert_array_equal(FRONT_END(noise(1_600).astype(np.float64)), expected)
    np.testing.assert_array_equal(FRONT_END(jnp.asarray(noise(1_600))), expected)


@pytest.mark.parametrize("shape", [(1_600,), (3, 1_600), (2, 2, 1_600)])
def test_a_waveform_that_does_not_fit_the_shares_is_refused(shape):
    with pytest.raises(UserError, match=r"shares of shape \(1, 2\) for a waveform of shape"):
        FRONT_END(np.zeros(shape, np.float32), np.full((1, 2), 0.5))
