"""Audio file → waveform → channels."""

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from ascjax.errors import UserError, choose

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


class BadRecording(UserError):
    """An audio file that can't be used; the message is one line with the file and the reason."""


@dataclass(frozen=True)
class Info:
    """What a file's header says.

    Attributes:
      sample_rate_hz: samples per second.
      num_samples: samples of each column.
      num_columns: 1 for mono, 2 for stereo.
    """

    sample_rate_hz: int
    num_samples: int
    num_columns: int

    @property
    def duration_s(self) -> float:
        """Seconds, to the hundredth."""
        return round(self.num_samples / self.sample_rate_hz, 2)


def probe(path: str | os.PathLike[str]) -> Info:
    """Reads the header of an audio file, never its samples.

    Args:
      path: a wav, flac, ogg or mp3 file.

    Raises:
      BadRecording: the file is missing, is no audio, is cut short or holds no samples.
    """
    with _open(path) as file:
        return Info(file.samplerate, file.frames, file.channels)


def read(
    path: str | os.PathLike[str], sample_rate_hz: int | None = None
) -> tuple[Float[np.ndarray, "column sample"], int]:
    """Reads an audio file whole.

    Args:
      path: a wav (16, 24, 32 bit or float), flac, ogg or mp3 file with any number of columns.
      sample_rate_hz: the rate wanted, or None for the file's own.

    Returns:
      The waveform as float32, integer formats scaled to −1..1, and its sample rate in Hz.

    Raises:
      BadRecording: the file is missing, is no audio, is cut short, holds no samples, or holds NaN
        or infinite ones.
    """
    with _open(path) as file:
        rate, expected = file.samplerate, file.frames
        try:
            wave = file.read(dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise BadRecording(f"{path}: can't be decoded ({error.error_string})") from error
    if len(wave) < expected:
        raise BadRecording(f"{path}: cut short: {len(wave):,} of {expected:,} samples are there")
    bad = wave.size - int(np.count_nonzero(np.isfinite(wave)))
    if bad:
        raise BadRecording(f"{path}: {bad:,} of {wave.size:,} samples are NaN or infinite")
    if sample_rate_hz is not None and sample_rate_hz != rate:
        wave = soxr.resample(wave, rate, sample_rate_hz)
        if len(wave) == 0:
            raise BadRecording(f"{path}: too short to be resampled to {sample_rate_hz:,} Hz")
        rate = sample_rate_hz
    return np.ascontiguousarray(wave.T), rate


# The share of each of so many columns in a channel.
CHANNELS: Mapping[str, Callable[[int], np.ndarray]] = {
    "left": lambda columns: np.eye(columns)[0],
    "right": lambda columns: np.eye(columns)[min(1, columns - 1)],
    "average": lambda columns: np.full(columns, 1 / columns),
}


def shares(names: Sequence[str], num_columns: int) -> Float[np.ndarray, "channel column"]:
    """Returns the share of each column of a recording in each of the named channels.

    Of a mono recording, every channel is its one column. Of more than two columns, ``left`` is the
    first, ``right`` the second and ``average`` the mean over all of them.

    Args:
      names: channels in the order wanted, of ``left``, ``right`` and ``average``.
      num_columns: of the recording.

    Raises:
      UserError: no name, or one that is no channel.
    """
    if not names:
        raise UserError(
            f"config.channels: expected at least one of {', '.join(CHANNELS)}, got none"
        )
    return np.stack([choose("config.channels", name, CHANNELS)(num_columns) for name in names])


def to_channels(
    wave: Float[np.ndarray, "column sample"], names: Sequence[str]
) -> Float[np.ndarray, "channel sample"]:
    """Makes the named views of a recording, float32: ``shares`` · ``wave``."""
    return (shares(names, len(wave)) @ wave).astype(np.float32)


def _open(path: str | os.PathLike[str]) -> soundfile.SoundFile:
    """Opens an audio file after the checks that libsndfile leaves out."""
    try:
        size = os.stat(path).st_size
        if size == 0:
            raise BadRecording(f"{path}: the file is empty (0 bytes)")
        _check_complete(path, size)
        file = soundfile.SoundFile(os.fspath(path))
    except OSError as error:
        raise BadRecording(f"{path}: can't be opened ({error.strerror})") from error
    except soundfile.LibsndfileError as error:
        raise BadRecording(f"{path}: is no audio file ({error.error_string})") from error
    if file.frames == 0:
        file.close()
        raise BadRecording(f"{path}: holds no samples (zero length)")
    return file


def _check_complete(path: str | os.PathLike[str], size: int) -> None:
    """Raises if the file ends before its container says: libsndfile reads on without a word."""
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic in (b"RIFF", b"RF64"):
            missing = _missing_wav_bytes(file, size)
            if missing:
                raise BadRecording(
                    f"{path}: cut short: {missing:,} bytes of its samples are missing"
                )
        elif magic == b"OggS" and not _has_last_ogg_page(file, size):
            raise BadRecording(f"{path}: cut short: its last Ogg page is missing")


def _missing_wav_bytes(file, size: int) -> int:
    """Returns how many bytes of the ``data`` chunk lie beyond the end of the file."""
    unknown = 0xFFFFFFFF  # written by programs that stream, and by RF64, which says it in ds64
    data_size, position = unknown, 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"ds64" and length >= 16:
            data_size = struct.unpack("<QQ", file.read(16))[1]
        if name == b"data":
            length = data_size if length == unknown else length
            return 0 if length == unknown else max(0, position + 8 + length - size)
        position += 8 + length + length % 2
    return 0  # no data chunk: libsndfile says so itself


def _has_last_ogg_page(file, size: int) -> bool:
    """Returns whether a complete page with the end-of-stream flag ends the file."""
    file.seek(max(0, size - 2 * 65_307))  # 65,307 bytes is the longest page there can be
    tail = file.read()
    start = tail.rfind(b"OggS")
    while start >= 0:
        header = tail[start : start + 27]
        table = tail[start + 27 : start + 27 + header[26]] if len(header) == 27 else b""
        end = start + 27 + len(table) + sum(table)
        if len(header) == 27 and len(table) == header[26] and end <= len(tail):
            return bool(header[5] & 4)
        start = tail.rfind(b"OggS", 0, start)
    return False
