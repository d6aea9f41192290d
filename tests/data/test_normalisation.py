import jax.numpy as jnp
import numpy as np
import pytest

from ascjax.data.normalisation import mel_statistics, normalise


def make_log_mel(deviations, recordings=64):
    rng = np.random.default_rng(0)
    shape = (recordings, 1, len(deviations), 50)
    return (rng.normal(size=shape) * np.array(deviations)[:, None] - 5).astype(np.float32)


def test_ordinary_bands_have_their_own_mean_and_deviation():
    log_mel = make_log_mel([1.1, 3.0, 3.2, 3.6])  # as far apart as those of ESC-10
    indices = np.array([5, 3, 60])
    mean, deviation = mel_statistics(log_mel, indices, recordings_at_once=2)
    values = log_mel[indices].astype(np.float64)
    np.testing.assert_allclose(mean, values.mean((0, 1, 3)), rtol=1e-6)
    np.testing.assert_allclose(deviation, values.std((0, 1, 3)), rtol=1e-6)
    assert mean.dtype == deviation.dtype == np.float32


def test_a_band_silent_in_all_recordings_but_one_leaves_ordinary_ones_near():
    log_mel = make_log_mel([3.0, 3.0, 3.0, 3.0], recordings=320)
    log_mel[1:, :, 2] = -11.5  # the floor of the log
    mean, deviation = mel_statistics(log_mel, np.arange(320))
    assert log_mel[:, :, 2].std() < 0.5
    assert deviation[2] == pytest.approx(0.75, rel=0.05)  # a quarter of the others'
    ordinary = normalise(jnp.asarray(log_mel[:1].transpose(0, 2, 3, 1)), mean, deviation)
    assert np.abs(np.asarray(ordinary)[0, 2].mean()) < 10


def test_a_band_that_never_changes_has_the_floor_and_a_constant_set_a_deviation_of_1():
    log_mel = make_log_mel([2.0, 2.0, 0.0])
    assert mel_statistics(log_mel, np.arange(64))[1][2] == pytest.approx(0.5, rel=0.05)
    mean, deviation = mel_statistics(np.full((4, 1, 3, 5), -5.0, np.float32), np.arange(4))
    np.testing.assert_array_equal(mean, -5)
    np.testing.assert_array_equal(deviation, 1)


def test_normalisation_takes_mean_and_deviation_of_each_band():
    mean, deviation = np.array([[0.5, 1.0], [2.0, 4.0]], np.float32)
    normal = normalise(jnp.ones((1, 2, 4, 1)), mean, deviation)
    np.testing.assert_allclose(normal[0, :, 0, 0], [0.25, 0.0])
