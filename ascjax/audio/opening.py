"""Opens audio files: which decoder reads a file, and what is accepted of it."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO

from ascjax.audio import formats
from ascjax.audio.errors import bad_recording, display
from ascjax.audio.ffmpeg import FfmpegSource
from ascjax.audio.sndfile import SndfileSource
from ascjax.audio.source import Source

# The largest microphone arrays in use have 64 capsules. A file of more is most often damaged or
# no sound, and each second of it would take as much memory as a minute of stereo.
MAX_COLUMNS = 64

# Below 1 kHz there is no band left for a log-mel; ultrasound recorders end at 768 kHz.
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000


@contextmanager
def open_source(path: str | os.PathLike[str], name: str | None = None) -> Iterator[Source]:
    """Opens an audio file, called ``name`` in errors, or by its path.

    Raises:
      BadRecording: the file is missing, is no audio, is cut short, has a rate or a number of
        columns that isn't accepted, or needs ffmpeg, which isn't installed.
    """
    name = display(path) if name is None else name
    with ExitStack() as stack:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise bad_recording(name, "can't be opened (it is no file)")
            file = stack.enter_context(open(path, "rb", buffering=0))
            source = stack.enter_context(_decoder(name, path, file))
        except OSError as error:
            raise bad_recording(name, f"can't be opened ({error.strerror})") from error
        except ValueError as error:  # a name with a null byte, or that no file system can write
            raise bad_recording(name, f"can't be opened ({error})") from error
        _check_accepted(source)
        yield source


def _decoder(name: str, path: str | os.PathLike[str], file: FileIO) -> Source:
    magic = os.pread(file.fileno(), 32, 0)
    if not magic:
        raise bad_recording(name, "the file is empty (0 bytes)")
    if what := formats.no_audio(magic):
        raise bad_recording(name, f"is {what}")
    if formats.needs_ffmpeg(os.fsdecode(path), magic):
        return FfmpegSource(name, path)
    return SndfileSource(name, file)


def _check_accepted(source: Source) -> None:
    if not 1 <= source.num_columns <= MAX_COLUMNS:
        raise bad_recording(
            source.name, f"has {source.num_columns:,} columns; at most {MAX_COLUMNS} are read"
        )
    if not MIN_RATE_HZ <= source.sample_rate_hz <= MAX_RATE_HZ:
        raise bad_recording(
            source.name,
            f"has a sample rate of {source.sample_rate_hz:,} Hz; "
            f"{MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz are read",
        )
    if source.num_samples == 0:
        raise bad_recording(source.name, "holds no samples (zero length)")
