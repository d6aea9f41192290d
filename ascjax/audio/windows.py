"""Windows of a recording or a stream of any length, in memory for one of them."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ascjax.audio.errors import bad_recording
from ascjax.audio.opening import open_source
from ascjax.audio.raw import RawFormat, RawSource, Stream, stream_name
from ascjax.audio.resampling import check_rates, resample_stream
from ascjax.audio.source import Source, check_values

# A recording that comes through a pipe is put into a temporary file: most formats can't be decoded
# without going back. Raw samples have no such limit.
MAX_SPOOLED_BYTES = 2**32

# The least new audio of a last window, as a share of the hop: of less, a window that is filled
# by repeating it would say nothing.
MIN_TAIL_SHARE = 0.1

_BLOCK_SAMPLES = 2**16
_BLOCK_BYTES = 2**16


@dataclass(frozen=True)
class Window:
    """A stretch of a recording.

    Attributes:
      start_s: where it begins, in seconds from the start of the recording.
      samples: float32 [column, sample].
    """

    start_s: float
    samples: np.ndarray


def windows(
    source: str | os.PathLike[str] | Stream,
    *,
    sample_rate_hz: int,
    window_samples: int,
    hop_samples: int,
    raw: RawFormat | None = None,
) -> Iterator[Window]:
    """Yields the windows of a recording, each as soon as its samples are there.

    Windows begin every ``hop_samples``. Where the last full one doesn't end with the recording, a
    shorter one follows if it holds at least ``MIN_TAIL_SHARE`` of a hop that no earlier one has. A
    recording shorter than a window is one short window.

    Args:
      source: an audio file, or a binary stream such as standard input. A stream holds a whole
        audio file of at most ``MAX_SPOOLED_BYTES``, or raw samples without end.
      sample_rate_hz: of the windows; other recordings are resampled as they are read, which takes
        about a thousand samples more than a window.
      window_samples: samples of a window, at that rate.
      hop_samples: samples from the start of a window to that of the next.
      raw: how a stream of raw samples holds them, or None for an audio file.

    Raises:
      BadRecording: as ``wave.read``, when the place is reached where it shows.
      UserError: the rate is out of range.
    """
    if window_samples < 1 or hop_samples < 1:
        raise ValueError(f"expected 1 sample or more, got {window_samples} and {hop_samples}")
    with _open(source, raw) as opened:
        check_rates(opened.sample_rate_hz, sample_rate_hz, opened.name)
        blocks = resample_stream(_blocks(opened), opened.sample_rate_hz, sample_rate_hz)
        found = False
        for start, samples in _cut(blocks, window_samples, hop_samples):
            found = True
            yield Window(start / sample_rate_hz, samples)
        if not found:
            raise bad_recording(opened.name, f"holds no samples at {sample_rate_hz:,} Hz")


def _cut(
    blocks: Iterable[Float[np.ndarray, "_ column"]], size: int, hop: int
) -> Iterator[tuple[int, Float[np.ndarray, "column _"]]]:
    """Yields the index of the first sample of each window, and its samples."""
    held = np.empty((0, size), np.float32)
    start, filled, overlap, skipped = 0, 0, 0, 0
    for block in blocks:
        if len(held) == 0:
            held = np.empty((block.shape[1], size), np.float32)
        while len(block):
            if skipped:  # between windows, if the hop is longer than a window
                dropped = min(skipped, len(block))
                block, skipped = block[dropped:], skipped - dropped
                continue
            taken = min(size - filled, len(block))
            held[:, filled : filled + taken] = block[:taken].T
            block, filled = block[taken:], filled + taken
            if filled == size:
                yield start, held.copy()
                overlap, skipped = max(0, size - hop), max(0, hop - size)
                held[:, :overlap] = held[:, size - overlap :]
                start, filled = start + hop, overlap
    is_only = start == 0 and filled > 0
    if is_only or (filled > overlap and filled - overlap >= MIN_TAIL_SHARE * hop):
        yield start, held[:, :filled].copy()


def _blocks(source: Source) -> Iterator[Float[np.ndarray, "_ column"]]:
    """Yields a source's samples as they come, checked."""
    total = 0
    while len(block := source.read(_BLOCK_SAMPLES)):
        check_values(block, source.name)
        total += len(block)
        yield block
    if source.num_samples is not None and total < source.num_samples:
        raise bad_recording(
            source.name, f"cut short: {total:,} of {source.num_samples:,} samples are there"
        )


@contextmanager
def _open(source: str | os.PathLike[str] | Stream, raw: RawFormat | None) -> Iterator[Source]:
    if isinstance(source, str | os.PathLike):
        if raw is not None:
            raise ValueError("raw samples are read from a stream: open the file and give that")
        with open_source(source) as opened:
            yield opened
    elif raw is not None:
        yield RawSource(source, raw)
    else:
        with _spooled(source) as path, open_source(path, stream_name(source)) as opened:
            yield opened


@contextmanager
def _spooled(stream: Stream) -> Iterator[str]:
    """Copies a stream to a temporary file and yields its path."""
    with tempfile.NamedTemporaryFile(prefix="ascjax-") as file:
        while data := stream.read(_BLOCK_BYTES):
            file.write(data)
            if file.tell() > MAX_SPOOLED_BYTES:
                raise bad_recording(
                    stream_name(stream),
                    f"more than {MAX_SPOOLED_BYTES:,} bytes come through the stream; give it as a "
                    "file, or as raw samples",
                )
        file.flush()
        yield file.name
