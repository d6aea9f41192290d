import numpy as np
import pytest

from ascjax.audio.quality import quality


def sine(amplitude, hz=441.0, rate=44_100, num_columns=2):
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(rate) / rate)
    return np.tile(wave.astype(np.float32), (num_columns, 1))


def test_a_sine():
    measured = quality(sine(0.5))
    assert measured.peak == pytest.approx(0.5)
    assert measured.rms_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=1e-3)
    assert (measured.clipped_share, measured.silent, measured.constant) == (0, False, False)


def test_full_scale_is_not_clipped():
    assert quality(sine(1.0)).clipped_share == 0


def test_clipped():
    samples = np.clip(sine(2.0), -1, 1 - 2**-15)
    beyond = np.abs(sine(2.0)) >= 1
    assert quality(samples).clipped_share == pytest.approx(beyond.mean(), rel=0.05)
    assert quality(sine(2.0)).clipped_share == pytest.approx(beyond.mean(), rel=0.05)


@pytest.mark.parametrize(("run", "share"), [(2, 0.0), (3, 0.3), (4, 0.4)])
def test_only_runs_count_as_clipped(run, share):
    samples = np.zeros((1, 10), np.float32)
    samples[0, :run] = -1
    assert quality(samples).clipped_share == pytest.approx(share)


def test_alternating_full_scale_is_not_clipped():
    assert quality(np.array([[1, -1, 1, -1]], np.float32)).clipped_share == 0


@pytest.mark.parametrize(("level", "silent"), [(1e-4, True), (1e-3, False)])
def test_near_silence(level, silent):
    measured = quality(sine(level) + np.float32(0.01))  # an offset is no sound
    assert (measured.silent, measured.constant) == (silent, False)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_constant(value):
    measured = quality(np.full((2, 1000), value, np.float32))
    assert measured.constant
    assert measured.silent
    assert measured.rms_db == -np.inf
    assert measured.peak == np.float32(value)


def test_columns_of_different_constants_and_single_samples():
    assert quality(np.repeat(np.array([[0.1], [0.2]], np.float32), 50, axis=1)).constant
    assert quality(np.ones((1, 1), np.float32)).clipped_share == 0
