"""Audio files through libsndfile, with the checks that it leaves out."""

import io
import os
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from ascjax.audio import containers
from ascjax.audio.errors import bad_recording
from ascjax.audio.source import Source

# Silence takes the least room: some 4,600 samples a byte in FLAC, fewer elsewhere.
_MAX_SAMPLES_PER_BYTE = 8_192

# By what factor the average bit rate of an mp3 file can lie below that of its first frames.
_MP3_RATES = 64


class SndfileSource(Source):
    """A source that libsndfile decodes.

    It reads by file descriptor: given a name, libsndfile takes a ``._`` file beside an mp3 for the
    recording itself and refuses names that are no UTF-8.
    """

    def __init__(self, name: str, file: io.FileIO) -> None:
        """Opens ``file``, which stands at its start and has to stay open while this is in use.

        Raises:
          BadRecording: it is no audio file, or one that was cut short.
        """
        self.name = name
        self._file = self._open(file)
        self.sample_rate_hz: int = self._file.samplerate
        self.num_columns: int = self._file.channels
        self.num_samples: int | None = self._file.frames
        if self._file.format == "MP3" and not containers.has_mp3_length(file):
            self._file.close()
            self._file = self._sndfile(_View(file, length=_MP3_RATES * _size(file)))
            self.num_samples = None
        elif self._file.frames > 2**62:  # what libsndfile says of a FLAC without a length
            self.num_samples = None
        if self.num_samples is None:
            self.note = "its header gives no length: its samples were counted"
        elif self._file.frames > _MAX_SAMPLES_PER_BYTE * _size(file):
            self._file.close()
            raise bad_recording(
                self.name,
                f"damaged: its header speaks of {self._file.frames:,} samples, which its "
                f"{_size(file):,} bytes can't hold",
            )

    def close(self) -> None:
        """Ends the decoder; the file stays open."""
        self._file.close()

    def read(self, num_samples: int) -> Float[np.ndarray, "sample column"]:
        """Decodes the next samples as float32: as many as asked for, fewer only at the end."""
        try:
            return self._file.read(frames=num_samples, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise bad_recording(self.name, f"can't be decoded ({_reason(error)})") from error

    def skip(self, num_samples: int) -> None:
        """Leaves out the next samples, or as many as there are."""
        if num_samples > 0 and self.num_samples is not None and self._file.can_seek:
            position = min(self._file.tell() + num_samples, self.num_samples)
            try:
                self._file.seek(position)
            except soundfile.SoundFileError as error:
                reason = f"cut short or damaged before sample {position:,} ({_reason(error)})"
                raise bad_recording(self.name, reason) from error
        else:
            super().skip(num_samples)

    def has_end(self) -> bool:
        """Whether the last sample can be decoded, where no container says where the file ends."""
        if self.num_samples is None or self._file.format not in ("FLAC", "MP3"):
            return True
        try:
            self._file.seek(self.num_samples - 1)
            return len(self._file.read(frames=1)) == 1
        except soundfile.SoundFileError:
            return False

    def _open(self, file: io.FileIO) -> "_Forward":
        samples = containers.find_samples(file)
        if samples is None:
            if os.pread(file.fileno(), 4, 0) == b"OggS":
                self._check_ogg(file)
            return self._sndfile(file)
        missing = samples.missing()
        if missing:
            raise bad_recording(
                self.name, f"cut short: {missing:,} bytes of its samples are missing"
            )
        true_size = samples.true_size()
        if samples.is_wav and samples.declared != true_size:
            said = "no length" if samples.unknown() else f"{samples.declared:,} bytes"
            self.note = f"its header gives {said}: all {true_size:,} bytes of samples are read"
            header = containers.header_of(file, samples, true_size)
            return self._sndfile(_View(file, header, samples.offset))
        return self._sndfile(file)

    def _check_ogg(self, file: io.FileIO) -> None:
        first, last = containers.ogg_pages(file)
        is_last_of_stream = 4
        if last is None or not last[5] & is_last_of_stream:
            raise bad_recording(self.name, "cut short: its last Ogg page is missing")
        if last[14:18] != first[14:18]:  # the streams' numbers
            raise bad_recording(
                self.name,
                "holds several Ogg streams, of which only the first can be read; join them, e.g. "
                "with ffmpeg, or split them",
            )

    def _sndfile(self, file: "io.FileIO | _View") -> "_Forward":
        try:
            if isinstance(file, _View):
                return _Forward(file)
            return _Forward(file.fileno(), closefd=False)
        except soundfile.SoundFileError as error:
            raise bad_recording(self.name, f"is no audio file ({_reason(error)})") from error


class _Forward(soundfile.SoundFile):
    """A file that is read without seeking.

    After each read, soundfile seeks to where it is anyway: in compressed formats that restarts the
    decoder, and at the end of a FLAC of unknown length it fails.
    """

    def seekable(self) -> bool:
        """Whether reads seek."""
        return False

    @property
    def can_seek(self) -> bool:
        """Whether libsndfile can seek, as it can't in GSM 6.10 and some kinds of ADPCM."""
        return super().seekable()


class _View(io.RawIOBase):
    """An audio file as libsndfile has to see it to read all of it.

    Args:
      file: the file.
      header: takes the place of the file's first ``offset`` bytes.
      offset: bytes of the file that ``header`` replaces.
      length: what the view claims as its length. libmpg123 guesses a number of samples from it
        and reads no more than that. The last 128 bytes, where it looks for a tag, are zeros.
    """

    def __init__(
        self, file: io.FileIO, header: bytes = b"", offset: int = 0, length: int | None = None
    ) -> None:
        self._file, self._header, self._shift = file, header, offset - len(header)
        self._position = 0
        self._end = _size(file) - self._shift
        self._tag = 2**63 if length is None else length - 128
        self._length = self._end if length is None else length
        if length is not None:
            tag = os.pread(file.fileno(), 3, max(0, self._end - 128))
            self._end -= 128 if tag == b"TAG" else 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position in the view."""
        self._position = offset + (0, self._position, self._length)[whence]
        return self._position

    def tell(self) -> int:
        """Returns the position in the view."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Reads from the header, the file, or the zeros in place of a tag."""
        start, wanted = self._position, len(buffer)
        if start >= self._tag:
            data = bytes(min(wanted, self._length - start))
        elif start < len(self._header):
            data = self._header[start : start + wanted]
        else:
            length = max(0, min(wanted, self._end - start))
            data = os.pread(self._file.fileno(), length, start + self._shift)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def write(self, data: Any) -> int:
        """Refuses; soundfile asks for the method of every file."""
        raise io.UnsupportedOperation("write")


def _size(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _reason(error: soundfile.SoundFileError) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".\n").replace("\n", " ")
