"""Recordings that are the same: one file under two names, equal bytes, equal samples."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ascjax.data.listing import Recording

Kind = Literal["file", "bytes", "samples", "excerpt"]
_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True)
class Copies:
    """Recordings that are the same in one respect; ``members`` are their indices, ascending.

    ``kind`` is ``file`` (one file by several names or links), ``bytes`` (equal content),
    ``samples`` (equal sound in another container) or ``excerpt`` (a part of the same sound).
    """

    kind: Kind
    members: tuple[int, ...]


def find(recordings: Sequence[Recording]) -> list[Copies]:
    """Returns the recordings that are one file, and those whose files have equal bytes.

    Files of a size of their own are not opened; of the others 64 KiB in the middle are read, and
    the whole only where those are equal. What is no file, or can't be opened, has no copies.
    """
    identities = {index: _identity(recording.path) for index, recording in enumerate(recordings)}
    regular = [index for index, identity in identities.items() if identity]
    files = _grouped(regular, identities.__getitem__)
    first = [members[0] for members in files]
    sized = _groups(first, lambda index: os.path.getsize(recordings[index].path))
    sampled = [g for group in sized for g in _groups(group, _digest_of(recordings, whole=False))]
    equal = [g for group in sampled for g in _groups(group, _digest_of(recordings, whole=True))]
    return [Copies("file", tuple(members)) for members in files if len(members) > 1] + [
        Copies("bytes", tuple(members)) for members in sorted(equal)
    ]


def same_samples(digests: Mapping[int, Hashable], known: Iterable[Copies] = ()) -> list[Copies]:
    """Returns the recordings whose decoded samples are equal, but for those known to be the same.

    Args:
      digests: of the samples and rate, by index of the recording.
      known: what ``find`` returned.
    """
    again = {index for copies in known for index in copies.members[1:]}
    return [
        Copies("samples", tuple(members))
        for members in sorted(_groups(set(digests) - again, digests.__getitem__))
    ]


def _grouped(indices: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    groups = defaultdict(list)
    for index in sorted(indices):
        groups[key(index)].append(index)
    return list(groups.values())


def _groups(indices: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Returns the groups of two and more with an equal key."""
    return [members for members in _grouped(indices, key) if len(members) > 1]


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns device and inode number, equal for links and other spellings of a path.

    None for what can't be compared: a link to nowhere, a pipe or device, which might never end, and
    an empty file.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    whole = stat.S_ISREG(status.st_mode) and status.st_size
    return (status.st_dev, status.st_ino) if whole else None


def _digest_of(recordings: Sequence[Recording], *, whole: bool) -> Callable[[int], Hashable]:
    def digest(index: int) -> bytes | int:
        try:
            file = open(recordings[index].path, "rb")  # noqa: SIM115 (closed below)
        except OSError:
            return index  # equal to no other
        with file:
            if whole:
                return hashlib.file_digest(file, "sha256").digest()
            file.seek(os.path.getsize(recordings[index].path) // 2)
            return hashlib.sha256(file.read(_SAMPLE_BYTES)).digest()

    return digest
