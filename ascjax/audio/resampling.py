"""Resampling by soxr: of a whole recording, of a part of it, and of a stream."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from jaxtyping import Float

from ascjax.audio.errors import bad_recording
from ascjax.audio.opening import MAX_RATE_HZ, MIN_RATE_HZ
from ascjax.errors import UserError

# Beyond this factor a resampler's filters take more memory than the recording; no pair of rates
# in use lies so far apart.
MAX_RATIO = 100

# Samples, at the lower of two rates, after which one has no more influence on another: soxr's
# filter of quality HQ is a fraction of that long.
CONTEXT = 1_024


def check_rates(from_hz: int, to_hz: int, name: str) -> None:
    """Checks that a recording can be resampled.

    Raises:
      UserError: the wanted rate is not between ``MIN_RATE_HZ`` and ``MAX_RATE_HZ``.
      BadRecording: the two rates lie further apart than ``MAX_RATIO``.
    """
    if not MIN_RATE_HZ <= to_hz <= MAX_RATE_HZ:
        raise UserError(
            f"sample rate: expected {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz, got {to_hz:,}"
        )
    if max(from_hz, to_hz) > MAX_RATIO * min(from_hz, to_hz):
        raise bad_recording(
            name,
            f"can't be resampled from {from_hz:,} to {to_hz:,} Hz: at most by a factor of "
            f"{MAX_RATIO}",
        )


@dataclass(frozen=True)
class Cut:
    """Which samples of a recording to decode for a part of it at another rate, and which to keep.

    Attributes:
      first: the first sample to decode.
      num_decoded: how many, or None for all up to the end.
      dropped: samples to leave out at the start, after resampling.
      num_kept: samples to keep after those, or None for all.
    """

    first: int
    num_decoded: int | None
    dropped: int
    num_kept: int | None


def plan_cut(from_hz: int, to_hz: int, start_s: float, duration_s: float | None) -> Cut:
    """Returns the part to decode so that it equals that part of the resampled whole.

    The part is decoded with ``CONTEXT`` on both sides. Its first sample falls together with one of
    the resampled whole: the two rates share every ``from_hz / gcd``-th sample.
    """
    start = round(start_s * to_hz)
    num_kept = None if duration_s is None else round(duration_s * to_hz)
    if from_hz == to_hz:
        return Cut(start, num_kept, 0, num_kept)
    context = math.ceil(CONTEXT * from_hz / min(from_hz, to_hz))
    grid = from_hz // math.gcd(from_hz, to_hz)
    first = max(0, start * from_hz // to_hz - context) // grid * grid
    dropped = start - first * to_hz // from_hz
    if num_kept is None:
        return Cut(first, None, dropped, None)
    end = math.ceil((start + num_kept) * from_hz / to_hz) + context
    return Cut(first, end - first, dropped, num_kept)


def resample(
    wave: Float[np.ndarray, "sample column"], from_hz: int, to_hz: int
) -> Float[np.ndarray, "sample2 column"]:
    """Returns a waveform at another rate, or the same array at the same one."""
    return wave if from_hz == to_hz else soxr.resample(wave, from_hz, to_hz)


def resample_stream(
    blocks: Iterable[Float[np.ndarray, "_ column"]], from_hz: int, to_hz: int
) -> Iterator[Float[np.ndarray, "_ column"]]:
    """Yields the blocks of a stream at another rate; together they equal ``resample``'s result."""
    if from_hz == to_hz:
        yield from blocks
        return
    stream = None
    for block in blocks:
        if stream is None:
            columns = block.shape[1]
            stream = soxr.ResampleStream(from_hz, to_hz, columns, dtype="float32")
        yield stream.resample_chunk(block)
    if stream is not None:
        yield stream.resample_chunk(np.empty((0, columns), np.float32), last=True)
