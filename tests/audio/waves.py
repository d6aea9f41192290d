"""Waveforms and the comparison with a front end's reference, for tests of front ends."""

import numpy as np


def noise(num_samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


def quiet_and_loud():
    """Waveforms on which rounding errors of loud bands would show in quiet ones."""
    time_s = np.arange(24_000) / 48_000
    spectrum = np.fft.rfft(noise(24_000))
    spectrum[len(spectrum) // 3 :] = 0
    waves = {
        "a steady tone of full scale": np.sin(2 * np.pi * 1_000 * time_s),
        "noise cut off at 8 kHz": np.fft.irfft(spectrum),
        "a burst in digital silence": np.where(abs(time_s - 0.25) < 0.01, noise(24_000), 0),
        "the last 9 bits of 24, near the floor": np.round(512 * noise(24_000)) * 2.0**-23,
    }
    return {name: samples.astype(np.float32) for name, samples in waves.items()}


def assert_as_reference(front_end, samples, *, atol=0.0, rtol=0.0):
    values, reference = front_end(samples), front_end.reference(samples)
    assert values.dtype == reference.dtype == np.float32
    np.testing.assert_allclose(values, reference, atol=atol, rtol=rtol)
