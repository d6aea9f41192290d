"""Where a page is served, and what it takes."""

import os
from dataclasses import dataclass

from ascjax.audio.errors import bad_recording
from ascjax.audio.opening import open_source

LOOPBACK, PORT = "127.0.0.1", 7860


@dataclass(frozen=True)
class Limits:
    """What a page takes.

    Attributes:
      megabytes: of a file, 10⁶ bytes each.
      seconds: of a recording.
      at_once: how many recordings are analysed side by side.
      waiting: how many wait for that; more are turned away.
    """

    megabytes: int = 100
    seconds: float = 600.0
    at_once: int = 2
    waiting: int = 32


def check(path: str, limits: Limits) -> None:
    """Raises BadRecording for a file above the limits, or whose header can't be read."""
    size = os.path.getsize(path)
    if size > limits.megabytes * 10**6:
        raise bad_recording(
            path, f"is {size / 1e6:,.0f} MB large; at most {limits.megabytes:,} MB are taken"
        )
    with open_source(path) as source:
        most = round(limits.seconds * source.sample_rate_hz)
        if source.num_samples is None:  # only decoding tells
            source.skip(most)
            is_long = len(source.read(1)) > 0
        else:
            is_long = source.num_samples > most
    if is_long:
        raise bad_recording(path, f"is too long; at most {limits.seconds:,g} s are taken")
