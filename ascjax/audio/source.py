"""Sources of samples: what every decoder offers, and the checks of what comes out."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float

from ascjax.audio.errors import bad_recording

# Samples go from −1 to 1 at full scale. Float files may exceed that: mixes by some decibels,
# calibrated recordings in pascal by 46 dB (140 dB SPL is 200 Pa). A thousand, +60 dBFS, is more
# than any of them and far below what overflows float32 in a log-mel. What lies above are integers
# stored as floats without scaling, or damage.
LOUDEST = 1_000.0

# Values decoded at a time where samples are only counted or left out: 16 MiB of float32.
BLOCK_VALUES = 2**22


class Source(ABC):
    """A recording that is decoded from its start to its end; a context that closes it.

    Attributes:
      name: of the file, fit to be printed.
      sample_rate_hz: samples per second.
      num_columns: 1 for mono, 2 for stereo.
      num_samples: samples of each column, or None if only decoding can tell.
      note: one line on what its header says wrongly, or empty.
    """

    name: str
    sample_rate_hz: int
    num_columns: int
    num_samples: int | None = None
    note: str = ""

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def read(self, num_samples: int) -> Float[np.ndarray, "sample column"]:
        """Decodes the next samples as float32: as many as asked for, fewer only at the end."""

    @abstractmethod
    def close(self) -> None:
        """Ends the decoder."""

    def skip(self, num_samples: int) -> None:
        """Leaves out the next samples, or as many as there are."""
        block = BLOCK_VALUES // self.num_columns
        while num_samples > 0 and (length := len(self.read(min(block, num_samples)))):
            num_samples -= length

    def has_end(self) -> bool:
        """Whether the last of ``num_samples`` is there, as far as that is quickly known.

        Nothing can be read any more then.
        """
        return True


def check_values(samples: Float[np.ndarray, "a b"], name: str) -> None:
    """Raises BadRecording if samples are NaN, infinite or louder than ``LOUDEST``."""
    if samples.size == 0:
        return
    highest, lowest = float(samples.max()), float(samples.min())
    if highest <= LOUDEST and lowest >= -LOUDEST:  # False if one is NaN
        return
    bad = samples.size - int(np.count_nonzero(np.isfinite(samples)))
    if bad:
        reason = f"{bad:,} of {samples.size:,} samples are NaN or infinite"
    else:
        value = highest if highest >= -lowest else lowest
        count = np.count_nonzero(np.abs(samples) > LOUDEST)
        reason = (
            f"{count:,} of {samples.size:,} samples lie beyond ±{LOUDEST:,g}, one at {value:.3g}, "
            "where full scale is ±1; scale the file to −1..1"
        )
    raise bad_recording(name, reason)


def count_samples(source: Source) -> int:
    """Decodes a source to its end in bounded memory and returns its number of samples."""
    block = BLOCK_VALUES // source.num_columns
    total = 0
    while (length := len(source.read(block))) == block:
        total += length
    return total + length
