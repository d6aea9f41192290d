"""A waveform in memory as a source of samples."""

import numpy as np
from jaxtyping import Float

from ascjax.audio.errors import bad_recording
from ascjax.audio.opening import MAX_COLUMNS
from ascjax.audio.source import Source

# Its name in messages.
NAME = "array"


class ArraySource(Source):
    """Samples of an array [sample] or [column, sample].

    Args:
      samples: floats in −1..1, or integers of up to 32 bits, which are scaled by their type's full
        scale; unsigned ones have their zero in its middle.
      sample_rate_hz: their rate.

    Raises:
      BadRecording: another shape or type, no samples, or too many columns.
    """

    def __init__(self, samples: np.ndarray, sample_rate_hz: int) -> None:
        if samples.ndim not in (1, 2) or samples.size == 0:
            raise bad_recording(
                NAME, f"expected samples [sample] or [column, sample], got shape {samples.shape}"
            )
        if np.issubdtype(samples.dtype, np.integer):
            kind = np.iinfo(samples.dtype)
            if kind.bits > 32:  # such as sums and indices, whose full scale is unknown
                raise bad_recording(
                    NAME, f"expected floats, or integers of 32 bits at most, got {samples.dtype}"
                )
            full_scale = (kind.max - kind.min + 1) / 2
            samples = samples / np.float32(full_scale) - np.float32(kind.min == 0)
        elif not np.issubdtype(samples.dtype, np.floating):
            raise bad_recording(NAME, f"expected floats or integers, got {samples.dtype}")
        columns = np.atleast_2d(samples)
        if len(columns) > MAX_COLUMNS:
            raise bad_recording(
                NAME, f"expected 1 to {MAX_COLUMNS} columns, got {len(columns)} of shape "
                f"{samples.shape}; samples lie along the last axis"
            )  # fmt: skip
        self.name, self.sample_rate_hz, self.num_columns = NAME, int(sample_rate_hz), len(columns)
        self.num_samples = columns.shape[1]
        self._columns, self._position = columns, 0

    def read(self, num_samples: int) -> Float[np.ndarray, "sample column"]:
        """Returns the next samples as float32, none only at the end."""
        start = self._position
        self._position = min(start + num_samples, self._columns.shape[1])
        return self._columns[:, start : self._position].T.astype(np.float32)

    def close(self) -> None:
        """Does nothing: there is no decoder to end."""
