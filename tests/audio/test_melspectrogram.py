import jax
import jax.numpy as jnp
import numpy as np
import pytest
from waves import assert_as_reference, noise

from ascjax.audio import melspectrogram
from ascjax.audio.logmel import LogMel
from ascjax.audio.melspectrogram import mel_spectrogram


def test_amplitudes_are_librosa_s():
    front_end = LogMel(48_000)
    values = mel_spectrogram(noise(48_000), front_end)
    np.testing.assert_allclose(values, front_end.reference_amplitude(noise(48_000)), rtol=1e-5)


def test_the_logarithm_is_that_of_the_amplitudes_over_the_floor():
    front_end = LogMel(48_000)
    amplitude = mel_spectrogram(noise(48_000), front_end)
    floor = float(np.median(amplitude))
    values = mel_spectrogram(noise(48_000), front_end, log_floor=floor)
    np.testing.assert_allclose(values, np.log(np.maximum(amplitude, floor)), atol=1e-6)


def test_leading_axes_are_kept_and_independent():
    front_end = LogMel(48_000, 32)
    samples = np.stack([noise(9_600, seed) for seed in range(6)]).reshape(2, 3, 9_600)
    together = front_end(samples)
    assert together.shape == (2, 3, 32, front_end.num_frames(9_600))
    np.testing.assert_array_equal(together[1, 2], front_end(samples[1, 2]))
    assert_as_reference(front_end, samples, atol=1e-4)


@pytest.mark.parametrize("num_samples", [99 * 1_114, 240_000, 480_000, 480_001])
def test_is_the_same_on_any_number_of_threads(monkeypatch, num_samples):
    front_end = LogMel(48_000, 8)
    samples = np.stack([noise(num_samples), noise(num_samples, 1)])
    monkeypatch.setenv("NPROC", "1")
    alone = front_end(samples)
    assert_as_reference(front_end, samples, atol=1e-4)
    for threads in ("2", "3", "64", "0", "many"):
        monkeypatch.setenv("NPROC", threads)
        np.testing.assert_array_equal(front_end(samples), alone)


@pytest.mark.parametrize("num_samples", [0, 1, 100, 9 * 23])
def test_short_waves_and_threads_without_frames(monkeypatch, num_samples):
    even, odd = LogMel(1_000, 8), LogMel(1_000, 8, window_size_s=0.045)
    assert (even.fft_length % 2, odd.fft_length % 2) == (0, 1)
    monkeypatch.setattr(melspectrogram, "_MIN_FRAMES_PER_THREAD", 1)
    for front_end in (even, odd):
        monkeypatch.setenv("NPROC", "1")
        alone = front_end(noise(num_samples))
        assert alone.shape == (8, front_end.num_frames(num_samples))
        monkeypatch.setenv("NPROC", "6")  # of ten frames five threads take two each
        np.testing.assert_array_equal(front_end(noise(num_samples)), alone)


def test_works_on_a_version_of_xla_without_the_compiler_options(monkeypatch):
    monkeypatch.setattr(melspectrogram, "_COMPILER_OPTIONS", {"xla_cpu_of_another_version": ""})
    monkeypatch.setattr(melspectrogram, "_compiled", melspectrogram._compiled.__wrapped__)
    assert_as_reference(LogMel(48_000, 8), noise(9_600), atol=1e-4)


def test_float64_stays_disabled_for_others():
    LogMel(48_000, 32)(noise(9_600))
    assert jnp.zeros(1).dtype == np.float32
    assert not jax.config.jax_enable_x64
