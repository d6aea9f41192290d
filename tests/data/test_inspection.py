import math

import numpy as np
import pytest

from ascjax.data.inspection import inspect as inspect_at
from ascjax.data.inspection import problem


def inspect(blocks):
    return inspect_at(blocks, 8_000)


NOISE = (0.1 * np.random.default_rng(0).standard_normal((2, 8_000))).astype(np.float32)


def test_hand_computed_values():
    block = np.array([[0, 0.5, -1, 0], [0, 0.5, 1, 0.25]], np.float32)
    found = inspect([block])
    assert (found.quality.peak, found.zero_share) == (1, 0.25)
    assert not found.columns_equal
    variance = np.mean([np.var(column) for column in block])
    assert found.quality.rms_db == pytest.approx(10 * math.log10(variance), abs=1e-5)


def test_blocks_do_not_matter():
    whole = inspect([NOISE])
    pieces = inspect([NOISE[:, :10], NOISE[:, 10:10], NOISE[:, 10:]])
    assert pieces.digest == whole.digest
    assert pieces.quality.rms_db == pytest.approx(whole.quality.rms_db, abs=0.01)
    assert (pieces.quality.peak, pieces.zero_share) == (whole.quality.peak, whole.zero_share)


def test_digest_is_of_the_samples_to_16_bits():
    sixteen = (np.rint(NOISE * 32_768) / 32_768).astype(np.float32)
    assert inspect([sixteen]).digest == inspect([sixteen.copy(order="F")]).digest
    assert inspect([sixteen[:1]]).digest == inspect([np.repeat(sixteen[:1], 2, 0)]).digest
    moved = sixteen.copy()
    moved[:, 5] += 1 / 32_768
    assert inspect([moved]).digest != inspect([sixteen]).digest


def test_a_small_signal_on_a_large_offset_is_not_constant():
    quiet = (0.5 + 1e-4 * NOISE).astype(np.float32)
    found = inspect([quiet])
    expected = inspect([NOISE]).quality.rms_db - 80
    assert found.quality.rms_db == pytest.approx(expected, abs=0.1)
    assert found.digest


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (NOISE, ""),
        (np.zeros((2, 100), np.float32), "digital silence"),
        (np.full((1, 100), 0.1, np.float32), "a constant value"),
        (1e-5 * NOISE, "nearly silent"),
        (np.concatenate([NOISE, np.zeros((2, 9_000), np.float32)], axis=1), "more than 50 %"),
        (np.clip(30 * NOISE, -1, 1), "clipped"),
    ],
)
def test_problems(samples, reason):
    found = inspect([samples])
    assert problem(found).startswith(reason)
    assert bool(problem(found)) == bool(reason)


def test_blocks_of_constant_values_have_no_level():
    found = inspect([np.full((1, 50), value, np.float32) for value in (0.5, 0.5)])
    assert (found.quality.rms_db, found.quality.constant) == (-math.inf, True)


def test_equal_columns():
    assert inspect([NOISE[[0, 0]]]).columns_equal
    assert not inspect([NOISE[:1]]).columns_equal


def test_constant_signals_have_no_identity():
    assert inspect([np.zeros((1, 9), np.float32)]).digest == ""


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="expected samples, got none"):
        inspect([np.zeros((1, 0), np.float32)])
