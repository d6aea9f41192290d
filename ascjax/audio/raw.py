"""Raw samples from a stream, such as a microphone's through standard input."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ascjax.audio.errors import display
from ascjax.audio.opening import MAX_COLUMNS
from ascjax.audio.source import Source
from ascjax.errors import UserError, choose

_BLOCK_BYTES = 2**16

# NumPy's name of each encoding, and the factor to full scale.
ENCODINGS = {"s16le": ("<i2", 2.0**-15), "f32le": ("<f4", 1.0)}


@runtime_checkable
class Stream(Protocol):
    """What gives bytes, such as ``sys.stdin.buffer``; it need not go back."""

    def read(self, size: int, /) -> bytes:
        """Returns up to ``size`` bytes, none only at the end."""
        ...


@dataclass(frozen=True)
class RawFormat:
    """How a stream without a header holds its samples, columns interleaved.

    Attributes:
      sample_rate_hz: samples per second.
      num_columns: 1 for mono, 2 for stereo.
      encoding: ``s16le`` (16-bit integers) or ``f32le`` (float32 in −1..1), little-endian.
    """

    sample_rate_hz: int
    num_columns: int = 1
    encoding: str = "s16le"

    def __post_init__(self) -> None:
        choose("encoding of raw samples", self.encoding, ENCODINGS)
        if not 1 <= self.num_columns <= MAX_COLUMNS:
            raise UserError(
                f"columns of raw samples: expected 1 to {MAX_COLUMNS}, got {self.num_columns}"
            )


class RawSource(Source):
    """Raw samples of a stream; a read returns those that have arrived, at least one."""

    def __init__(self, stream: Stream, raw: RawFormat) -> None:
        self.name = stream_name(stream)
        self.sample_rate_hz, self.num_columns = raw.sample_rate_hz, raw.num_columns
        self._dtype, self._scale = ENCODINGS[raw.encoding]
        self._stream, self._rest = stream, b""

    def read(self, num_samples: int) -> Float[np.ndarray, "sample column"]:
        """Returns the next samples as float32, none only at the end."""
        width = np.dtype(self._dtype).itemsize * self.num_columns
        # A buffered stream's ``read`` waits for all it is asked for.
        receive = getattr(self._stream, "read1", self._stream.read)
        data = self._rest
        while len(data) < width and (part := receive(min(_BLOCK_BYTES, width * num_samples))):
            data += part
        whole = len(data) - len(data) % width
        self._rest = data[whole:]
        values = np.frombuffer(data[:whole], self._dtype).astype(np.float32)
        return (values * np.float32(self._scale)).reshape(-1, self.num_columns)

    def close(self) -> None:
        """Leaves the stream open: it belongs to the caller."""


def stream_name(stream: Stream) -> str:
    """Returns the name of a stream, fit to be printed."""
    name = getattr(stream, "name", "")
    return display(name) if isinstance(name, str | bytes) and name else "stream"
