"""Audio files through an installed ffmpeg, in bounded memory."""

import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
from typing import IO

import numpy as np
from jaxtyping import Float

from ascjax.audio.errors import bad_recording, display
from ascjax.audio.source import Source

TIMEOUT_S = 60  # without any output: ffmpeg waits for something, or the file is damaged

_AU_HEADER = struct.Struct(">4s5I")  # magic, offset, size, encoding, rate, columns
_AU_FLOAT32 = 6
_READ_BYTES = 2**22

# What ffmpeg puts before its messages: "[aac @ 0x55e0] ".
_ADDRESS = re.compile(r"\[[^]]* @ 0x[0-9a-f]+\] ")


class FfmpegSource(Source):
    """A source that a subprocess decodes: the first audio stream of any file ffmpeg reads.

    The stream comes as an AU file of big-endian float32, the simplest that says its rate and
    columns. Only local files are opened, whatever a playlist names.
    """

    def __init__(self, name: str, path: str | os.PathLike[str]) -> None:
        """Starts the decoder.

        Raises:
          BadRecording: ffmpeg isn't installed, or can't read the file.
        """
        program = shutil.which("ffmpeg")
        self.name = name
        if program is None:
            raise bad_recording(
                name, "needs ffmpeg, which isn't installed: install it or convert the file to flac"
            )
        self._timed_out = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by ``close``)
        self._process = subprocess.Popen(
            _command(program, path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        try:
            self.sample_rate_hz, self.num_columns = self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the decoder, wherever it is."""
        self._process.kill()
        self._output.close()
        self._process.wait()
        self._errors.close()

    def read(self, num_samples: int) -> Float[np.ndarray, "sample column"]:
        """Decodes the next samples as float32: as many as asked for, fewer only at the end."""
        data = self._read_bytes(4 * self.num_columns * num_samples)
        whole = len(data) // (4 * self.num_columns) * self.num_columns
        values = np.frombuffer(data, ">f4", whole).astype(np.float32)
        return values.reshape(-1, self.num_columns)

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _read_header(self) -> tuple[int, int]:
        header = self._read_bytes(_AU_HEADER.size)
        if len(header) < _AU_HEADER.size:
            raise bad_recording(self.name, "ffmpeg finds no audio in it")
        magic, offset, _, encoding, rate, columns = _AU_HEADER.unpack(header)
        if magic != b".snd" or encoding != _AU_FLOAT32:
            raise bad_recording(self.name, "ffmpeg gave something else than float samples")
        self._read_bytes(offset - _AU_HEADER.size)
        return rate, columns

    def _read_bytes(self, num_bytes: int) -> bytearray:
        """Returns the next bytes, fewer at the end, which raises if it isn't a good one."""
        data = bytearray()
        while len(data) < num_bytes:
            watchdog = threading.Timer(TIMEOUT_S, self._give_up)
            watchdog.start()
            try:
                part = self._output.read(min(_READ_BYTES, num_bytes - len(data)))
            finally:
                watchdog.cancel()
            if not part:
                self._check_exit()
                break
            data += part
        return data

    def _give_up(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _check_exit(self) -> None:
        status = self._process.wait()
        if self._timed_out:
            raise bad_recording(self.name, f"ffmpeg gave nothing for {TIMEOUT_S} s")
        if status != 0:
            self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4096))
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            why = _ADDRESS.sub("", lines[-1]) if lines else f"exit code {status}"
            raise bad_recording(self.name, f"ffmpeg can't decode it ({display(why)})")


def _command(program: str, path: str | os.PathLike[str]) -> list[str | bytes]:
    """Returns the command that writes a file's first audio stream to its output."""
    options = "-nostdin -v error -xerror -protocol_whitelist file,pipe -i"
    stream = "-map 0:a:0 -c:a pcm_f32be -f au pipe:1"
    return [program, *options.split(), b"file:" + os.fsencode(path), *stream.split()]
