"""Downloads that go on where they stopped, and archives that are unpacked once."""

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from ascjax.errors import UserError
from ascjax.fetch.zenodo import RemoteFile, open_url
from ascjax.files import write_text

_BLOCK = 1 << 20
_DONE = ".fetched"  # folder of a line for each file that is there, with its MD5


def is_done(file: RemoteFile, folder: Path) -> bool:
    """Returns whether ``fetch`` has finished with a file of this content."""
    mark = folder / _DONE / file.name
    return mark.is_file() and mark.read_text(encoding="utf-8").strip() == file.md5


def fetch(file: RemoteFile, folder: Path, progress: Callable[[int], object]) -> None:
    """Downloads a file into a folder, checks it, and unpacks it there if it is a zip archive.

    A killed or failed download goes on from where it was. An unpacked archive is removed.

    Args:
      file: of a record.
      folder: exists.
      progress: called with the bytes of each piece, those there already among them.

    Raises:
      UserError: the server can't be reached or ends early, the content isn't what the record says,
        or the disk can't be written.
    """
    path = folder / file.name
    try:
        (folder / _DONE).mkdir(exist_ok=True)
        if not (path.exists() and _md5(path) == file.md5):
            _download(file, path, progress)
        else:
            progress(file.size)
        if zipfile.is_zipfile(path):
            _unpack(path, folder)
            path.unlink()
        write_text(folder / _DONE / file.name, f"{file.md5}\n")
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot be written ({error.strerror}); run again to go on"
        ) from None


def _download(file: RemoteFile, path: Path, progress: Callable[[int], object]) -> None:
    part = path.with_name(path.name + ".part")
    if part.exists() and part.stat().st_size >= file.size:
        part.unlink()  # complete and yet not taken over: of another content
    start = part.stat().st_size if part.exists() else 0
    with open_url(file.url, start=start) as answer:
        if start and answer.status != 206:
            start = 0  # the server sends all of it
        progress(start)
        with part.open("ab" if start else "wb") as out:
            _copy(answer, out, file, progress)
    if part.stat().st_size < file.size:
        raise UserError(
            f"{file.url}: ended after {part.stat().st_size:,} of {file.size:,} bytes; run again to "
            "go on"
        )
    found = _md5(part)
    if found != file.md5:
        part.unlink()
        raise UserError(
            f"{file.url}: expected the MD5 sum {file.md5}, got {found}; the download was removed, "
            "run again to repeat it"
        )
    part.replace(path)


def _copy(answer: Any, out: IO[bytes], file: RemoteFile, progress: Callable[[int], object]) -> None:
    """Copies what the server sends, at most a byte more than the record says."""
    left = file.size - out.tell() + 1
    while left > 0:
        try:
            block = answer.read(min(_BLOCK, left))
        except (OSError, HTTPException) as error:  # the connection broke: what came is kept
            raise UserError(f"{file.url}: {error or 'cut off'}; run again to go on") from None
        if not block:
            return
        out.write(block)
        left -= len(block)
        progress(len(block))


def _md5(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _unpack(path: Path, folder: Path) -> None:
    """Unpacks an archive; no member leaves the folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            free = shutil.disk_usage(folder).free
            if size > free:
                raise UserError(
                    f"{folder}: {path.name} unpacks to {size:,} bytes, and {free:,} are free; make "
                    "room and run again"
                )
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: can't be unpacked ({error}); do it by hand") from None
