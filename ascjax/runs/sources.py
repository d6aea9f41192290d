"""Inputs of predict, validated before any is read: paths, arrays with their rate, streams."""

import math
import os
from collections.abc import Iterable

import numpy as np

from ascjax.audio.array import NAME as ARRAY
from ascjax.audio.errors import display
from ascjax.audio.opening import MAX_RATE_HZ, MIN_RATE_HZ
from ascjax.audio.raw import Stream, stream_name
from ascjax.audio.windows import Waveform
from ascjax.errors import UserError

# Of one recording. An array [sample] or [column, sample] has its rate in Hz beside it.
Source = str | os.PathLike[str] | Waveform | Stream


def is_source(value: object) -> bool:
    """Whether a value is one recording, rather than several or none."""
    if isinstance(value, str | os.PathLike | Stream):
        return True
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], np.ndarray)


def listed(recordings: object) -> list[Source]:
    """Returns one recording, or several, as a list.

    Raises:
      UserError: there is none, one is no recording, or has no rate that is accepted.
    """
    if is_source(recordings):
        sources = [recordings]
    elif isinstance(recordings, Iterable) and not isinstance(recordings, np.ndarray | bytes):
        sources = list(recordings)
    else:
        raise _no_source(recordings)
    if not sources:
        raise UserError("expected one or more recordings, got an empty list")
    return [_checked(source) for source in sources]


def name(source: Source) -> str:
    """Returns a recording's name, fit to be printed."""
    if isinstance(source, tuple):
        return ARRAY
    if isinstance(source, str | os.PathLike):
        return display(source)
    return stream_name(source)


def _checked(source: object) -> Source:
    if not is_source(source):
        raise _no_source(source)
    if isinstance(source, tuple):
        samples, rate = source
        return samples, check_rate(rate)
    return source  # type: ignore[return-value]


def check_rate(rate: object) -> int:
    """Returns a sample rate in Hz as an int.

    Raises:
      UserError: it is no whole number, or out of range.
    """
    number = rate if isinstance(rate, int | float | np.integer | np.floating) else math.nan
    if not MIN_RATE_HZ <= number <= MAX_RATE_HZ or number != int(number):
        raise UserError(
            f"sample rate: expected a whole number of {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz, got "
            f"{rate!r:.40}"
        )
    return int(number)


def _no_source(value: object) -> UserError:
    return UserError(
        "expected a path, an array with its sample rate, (samples, rate), a binary stream, or a "
        f"list of these, got {value!r:.60}"
    )
