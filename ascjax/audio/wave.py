"""Audio file → waveform [column, sample]."""

import math
import os
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ascjax.audio.channels import CHANNELS, shares, to_channels
from ascjax.audio.errors import BadRecording, bad_recording
from ascjax.audio.formats import SUFFIXES
from ascjax.audio.opening import open_source
from ascjax.audio.resampling import check_rates, plan_cut, resample
from ascjax.audio.source import Source, check_values, count_samples

__all__ = [
    "BadRecording", "CHANNELS", "Info", "SUFFIXES", "probe", "read", "shares", "to_channels",
]  # fmt: skip

# Values decoded at a time. An ordinary recording is one block, decoded into the array that is
# returned; a header that promises too much takes no memory for it.
_BLOCK_VALUES = 2**25


@dataclass(frozen=True)
class Info:
    """What is known of a recording without keeping its samples.

    Attributes:
      sample_rate_hz: samples per second.
      num_samples: samples of each column.
      num_columns: 1 for mono, 2 for stereo.
      note: one line on what the file's header says wrongly, or empty.
    """

    sample_rate_hz: int
    num_samples: int
    num_columns: int
    note: str = ""

    @property
    def duration_s(self) -> float:
        """Seconds, to the hundredth."""
        return round(self.num_samples / self.sample_rate_hz, 2)


def probe(path: str | os.PathLike[str]) -> Info:
    """Reads the header of an audio file, and its samples only where that can't be trusted.

    An mp3 without the number of its frames, a FLAC without its number of samples and whatever
    ffmpeg reads are decoded, in bounded memory, to count their samples. A wav file with no size of
    its samples, or a wrong one in a file that is whole, has the samples that it holds.

    Args:
      path: a file with one of ``SUFFIXES``, or one that ffmpeg reads, if it is installed.

    Raises:
      BadRecording: the file is missing, is no audio, is cut short, holds no samples, or has a rate
        or number of columns that isn't accepted.
    """
    with open_source(path) as source:
        known = source.num_samples
        num_samples = count_samples(source) if known is None else known
        if known is not None and not source.has_end():
            raise bad_recording(path, f"cut short: the last of {known:,} samples is missing")
        if num_samples == 0:
            raise bad_recording(path, "holds no samples (zero length)")
        return Info(source.sample_rate_hz, num_samples, source.num_columns, source.note)


def read(
    path: str | os.PathLike[str],
    sample_rate_hz: int | None = None,
    *,
    duration_s: float | None = None,
    start_s: float = 0.0,
) -> tuple[Float[np.ndarray, "column sample"], int]:
    """Reads an audio file, or a part of it, and decodes no more than that takes.

    Memory is at most about four times that of the part as float32, at the file's rate or the wanted
    one, whichever is higher, whatever the file's header says and however long it is.

    A part equals the same samples of the whole at that rate, to float rounding. A file that was cut
    short behind the part is not noticed where only decoding would tell (FLAC, mp3).

    Args:
      path: a file with one of ``SUFFIXES``, or one that ffmpeg reads, if it is installed.
      sample_rate_hz: the rate wanted, or None for the file's own.
      duration_s: seconds to read at most, or None for all.
      start_s: seconds to leave out at the start.

    Returns:
      The waveform as float32, integer formats scaled to −1..1, and its sample rate in Hz.

    Raises:
      BadRecording: as ``probe``, or nothing is left after ``start_s``, or the part read holds NaN,
        infinite or absurdly large samples (``source.LOUDEST``).
      UserError: the wanted rate is out of range.
    """
    if not (math.isfinite(start_s) and start_s >= 0):
        raise ValueError(f"start_s: expected 0 or more seconds, got {start_s}")
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise ValueError(f"duration_s: expected more than 0 seconds, got {duration_s}")
    with open_source(path) as source:
        own, rate = source.sample_rate_hz, sample_rate_hz or source.sample_rate_hz
        check_rates(own, rate, source.name)
        cut = plan_cut(own, rate, start_s, duration_s)
        source.skip(cut.first)
        wave = _decode(source, cut.first, cut.num_decoded)
    check_values(wave, source.name)
    end = None if cut.num_kept is None else cut.dropped + cut.num_kept
    resampled = resample(wave, own, rate)[cut.dropped : end] if len(wave) else wave
    if len(resampled) == 0:
        if start_s > 0:
            raise bad_recording(path, f"has nothing after {start_s:g} s")
        raise bad_recording(path, f"too short to be resampled to {rate:,} Hz")
    return np.ascontiguousarray(resampled.T), rate


def _decode(source: Source, first: int, wanted: int | None) -> Float[np.ndarray, "sample column"]:
    """Returns the next samples of a source that stands at ``first``: ``wanted``, or all.

    Raises:
      BadRecording: the source ends before its header says, or at once.
    """
    expected = wanted
    if source.num_samples is not None:
        left = max(0, source.num_samples - first)
        expected = left if wanted is None else min(wanted, left)
    block = _BLOCK_VALUES // source.num_columns
    parts, total = [], 0
    while expected is None or total < expected:
        size = block if expected is None else min(block, expected - total)
        parts.append(source.read(size))
        total += len(parts[-1])
        if len(parts[-1]) < size:
            break
    if source.num_samples is not None and total < (expected or 0):
        raise bad_recording(
            source.name,
            f"cut short: {first + total:,} of {source.num_samples:,} samples are there",
        )
    if total == 0 and first == 0:
        raise bad_recording(source.name, "holds no samples (zero length)")
    if not parts:
        return np.empty((0, source.num_columns), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
