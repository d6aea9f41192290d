"""Lengths in the headers of audio files, checked against the files.

libsndfile reads a file that was cut short as if it were whole, and a wav file whose header has
no length or a wrong one as empty or in part.
"""

import os
import struct
from dataclasses import dataclass
from io import FileIO
from typing import Literal, NamedTuple


class _Layout(NamedTuple):
    """How a container lays out its chunks."""

    first: int  # position of the first chunk
    header: str  # struct format of a chunk's name and size
    data: bytes  # name of the chunk of samples
    before_samples: int = 0  # bytes of that chunk before the samples
    align: int = 2
    size_has_header: bool = False


_W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_LAYOUTS = {
    b"RIFF": _Layout(12, "<4sI", b"data"),
    b"RF64": _Layout(12, "<4sI", b"data"),
    b"RIFX": _Layout(12, ">4sI", b"data"),
    b"FORM": _Layout(12, ">4sI", b"SSND"),
    b"caff": _Layout(8, ">4sQ", b"data", align=1),
    b"riff": _Layout(40, "<16sQ", b"data" + _W64_TAIL, align=8, size_has_header=True),
}
_MAX_CHUNKS = 10_000  # a walk over a damaged file ends


@dataclass(frozen=True)
class Samples:
    """Where a container says that its encoded samples are.

    Attributes:
      offset: position of the first byte.
      declared: bytes of samples by the header, 0 where it says that it doesn't know.
      available: bytes from the first to the end of the file.
      closed: whether the header's size of the whole file is right.
      magic: the first four bytes of the file.
    """

    offset: int
    declared: int
    available: int
    closed: bool
    magic: bytes

    @property
    def is_wav(self) -> bool:
        """Whether this is a little-endian wav file, whose header ``header_of`` can rewrite."""
        return self.magic in (b"RIFF", b"RF64")

    def unknown(self) -> bool:
        """Whether the declared size is one that stands for an unknown one.

        Programs that can't go back to the header write 0, the largest 32-bit size, or 2 GiB,
        rounded down to whole frames or pages; RF64, W64 and CAF have the largest of 64 bits, less
        a header at most.
        """
        size = self.declared
        streamed = 0x7FFF_F000 <= size <= 0x8000_0000 or 0xFFFF_F000 <= size <= 0xFFFF_FFFF
        return size == 0 or size >= 2**62 or streamed

    def missing(self) -> int:
        """Returns how many bytes of samples the file lacks: more than 0 if it was cut short.

        A header that says too much is not taken for a file that lacks something if the size of the
        whole file is right, or if the size of the samples is in fact that of the whole file, with
        or without the 8 bytes before the first size.
        """
        whole = self.offset + self.available
        if self.unknown() or self.closed or self.declared in (whole, whole - 8):
            return 0
        return max(0, self.declared - self.available)

    def true_size(self) -> int:
        """Returns the bytes of samples of a file that lacks none."""
        wrapped = (self.available - self.declared) % 2**32 == 0  # more than 4 GiB in 32 bits
        if self.unknown() or wrapped:
            return self.available
        return min(self.declared, self.available)


def find_samples(file: FileIO) -> Samples | None:
    """Finds the samples of a wav, RF64, W64, AIFF, CAF or AU file, or None if there are none."""
    size = os.fstat(file.fileno()).st_size
    magic = _read_at(file, 0, 4)
    if magic == b".snd":
        fields = _read_at(file, 4, 8)
        offset, declared = struct.unpack(">II", fields) if len(fields) == 8 else (size, 0)
        return Samples(offset, declared, max(0, size - offset), False, magic)
    layout = _LAYOUTS.get(magic)
    return _find_chunk(file, size, magic, layout) if layout else None


def _find_chunk(file: FileIO, size: int, magic: bytes, layout: _Layout) -> Samples | None:
    position, size_of_rf64 = layout.first, 0
    for _ in range(_MAX_CHUNKS):
        header = _read_at(file, position, struct.calcsize(layout.header))
        if len(header) < struct.calcsize(layout.header):
            return None
        name, length = struct.unpack(layout.header, header)
        inside = position + len(header)
        if layout.size_has_header:
            length -= len(header)
        if name == b"ds64":
            size_of_rf64 = int.from_bytes(_read_at(file, inside + 8, 8), "little")
        if name == layout.data:
            if magic == b"RF64" and length == 0xFFFF_FFFF:
                length = size_of_rf64
            empty = length == 0 and _is_chunks(file, inside, size, layout)
            available = 0 if empty else size - inside
            return Samples(inside, length, available, _is_closed(file, size), magic)
        if length < 0:
            return None
        position = inside + length + -(inside + length) % layout.align
    return None


def _is_chunks(file: FileIO, position: int, size: int, layout: _Layout) -> bool:
    """Whether the bytes from a position to the end of the file are whole chunks, not samples."""
    for _ in range(_MAX_CHUNKS):
        header = _read_at(file, position, struct.calcsize(layout.header))
        if len(header) < struct.calcsize(layout.header):
            break
        name, length = struct.unpack(layout.header, header)
        if not name[:4].isascii() or not name[:4].decode("ascii").isprintable():
            break
        position += length if layout.size_has_header else len(header) + length
        position += -position % layout.align
    return position in (size, size + 1)


def _is_closed(file: FileIO, size: int) -> bool:
    """Whether the size in a RIFF header is that of the file."""
    header = _read_at(file, 0, 8)
    order: Literal["little", "big"] = "big" if header[:4] == b"RIFX" else "little"
    is_riff = header[:4] in (b"RIFF", b"RIFX")
    return is_riff and int.from_bytes(header[4:], order) + 8 == size


def header_of(file: FileIO, samples: Samples, num_bytes: int) -> bytes:
    """Returns the header of a wav file up to its samples, saying that they are ``num_bytes``."""
    header = _read_at(file, 0, samples.offset)
    if num_bytes < 0xFFFF_F000:
        return header[:-4] + struct.pack("<I", num_bytes)
    if samples.magic == b"RF64":
        at = header.index(b"ds64") + 16
        return header[:at] + struct.pack("<Q", num_bytes) + header[at + 8 :]
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, len(header) + 36 + num_bytes - 8, num_bytes, 0, 0)
    return b"RF64" + b"\xff" * 4 + header[8:12] + sizes + header[12:-4] + b"\xff" * 4


def ogg_pages(file: FileIO) -> tuple[bytes, bytes | None]:
    """Returns the headers of the first and the last page of an Ogg file, or None if that is cut."""
    size = os.fstat(file.fileno()).st_size
    longest = 65_307  # bytes of a page
    first = _read_at(file, 0, 27)
    tail = _read_at(file, max(0, size - 2 * longest), 2 * longest)
    start = tail.rfind(b"OggS")
    while start >= 0:
        header = tail[start : start + 27]
        table = tail[start + 27 : start + 27 + header[26]] if len(header) == 27 else b""
        end = start + 27 + len(table) + sum(table)
        if len(header) == 27 and len(table) == header[26] and end <= len(tail):
            return first, header
        start = tail.rfind(b"OggS", 0, start)
    return first, None


def has_mp3_length(file: FileIO) -> bool:
    """Whether the first frame of an mp3 file is a Xing or Info header with the number of frames.

    Without one, decoders guess the length from the file's size and the first frames' bit rate.
    """
    position = 0
    while (tag := _read_at(file, position, 10))[:3] == b"ID3" and len(tag) == 10:
        size = 0
        for byte in tag[6:]:
            size = size << 7 | byte & 0x7F
        position += 10 + size
    head = _read_at(file, position, 4096)
    for start in range(len(head) - 1):
        if head[start] == 0xFF and head[start + 1] & 0xE6 == 0xE2:  # sync of a layer III frame
            frame = head[start : start + 64]
            found = [frame.find(name) for name in (b"Xing", b"Info") if name in frame]
            return bool(found) and len(frame) > found[0] + 7 and bool(frame[found[0] + 7] & 1)
    return False


def _read_at(file: FileIO, position: int, num_bytes: int) -> bytes:
    """Returns bytes of a file, fewer at its end; a damaged header may point anywhere.

    The descriptor stays where it is: libsndfile shares it.
    """
    if position >= os.fstat(file.fileno()).st_size:
        return b""
    return os.pread(file.fileno(), num_bytes, position)
