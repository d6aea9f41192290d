"""Writes converted weights, whole or not at all."""

import contextlib
import errno
import fcntl
import glob
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ascjax.errors import UserError

# Arrays begin at multiples of this, so that XLA can use the memory map as it is.
ALIGNMENT = 64
# The proof is made on the written file, and its figures then go into the file's header.
HEADER_ROOM = 8192
CHUNK_BYTES = 16 << 20


@contextlib.contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Yields a temporary file beside ``path`` that is renamed to it at the end, or removed.

    Folders made for it go with it. The process holds a lock on the temporary file; one without a
    lock was left by a process that was killed, and the next draft of ``path`` removes it.

    Raises:
      UserError: the folder can't be made or written, or the disk is full.
    """
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    done = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            done = True
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"no space left in {path.parent} for {path.name}: free some, or give another --out"
            ) from error
        raise UserError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        for folder in [] if done else made:
            with contextlib.suppress(OSError):  # another process uses it
                folder.rmdir()


def _remove_stale(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError), left.open("rb") as file:  # locked, or gone
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file in float32 from arrays of any stride, a slab at a time.

    ``safetensors.numpy.save_file`` would need all arrays contiguous, so a second copy in memory.

    Args:
      path: file to write over.
      tensors: key → array of floating point.
      metadata: of the header; may be replaced by ``replace_metadata``.
    """
    # Sizes that would put what follows off the alignment go last: the format has no gaps.
    order = sorted(tensors, key=lambda key: (_num_bytes(tensors[key]) % ALIGNMENT != 0, key))
    entries, offset = {}, 0
    for key in order:
        array = tensors[key]
        stop = offset + _num_bytes(array)
        entries[key] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, stop],
        }
        offset = stop
    with path.open("wb") as file:
        header = json.dumps({"__metadata__": dict(metadata), **entries}).encode()
        length = -(-(8 + len(header) + HEADER_ROOM) // ALIGNMENT) * ALIGNMENT - 8
        file.write(length.to_bytes(8, "little") + header.ljust(length))
        for key in order:
            for slab in _slabs(tensors[key]):
                file.write(np.ascontiguousarray(slab, "<f4").data)


def replace_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Replaces the metadata of a file made by ``write``; it may grow by ``HEADER_ROOM`` bytes."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        content = json.dumps({**header, "__metadata__": dict(metadata)}).encode()
        if len(content) > length:
            raise ValueError(f"metadata of {len(content)} bytes; the header has room for {length}")
        file.seek(8)
        file.write(content.ljust(length))


def _num_bytes(array: np.ndarray) -> int:
    return array.size * np.dtype("<f4").itemsize


def _slabs(array: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, CHUNK_BYTES // max(1, _num_bytes(array[:1]))) if array.ndim else 1
    if array.ndim == 0:
        yield array
    for start in range(0, len(array) if array.ndim else 0, rows):
        yield array[start : start + rows]


def _umask() -> int:
    # Can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
