"""Downloads that go on where they stopped, and archives that are unpacked once."""

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from ascjax.errors import UserError
from ascjax.fetch.zenodo import RemoteFile, open_url
from ascjax.files import read_json, write_json

_BLOCK = 1 << 20
_DONE = ".fetched"  # folder of a mark for each file that is there: its MD5, its members' sizes


def is_done(file: RemoteFile, folder: Path) -> bool:
    """Returns whether ``fetch`` has finished with a file of this content, and all of it is there.

    What was unpacked is known by its names and sizes.
    """
    try:
        mark = read_json(folder / _DONE / file.name)
        sizes = {name: (folder / name).stat().st_size for name in mark["members"]}
    except (UserError, OSError):  # no mark, or something is missing
        return False
    return mark == _mark(file, sizes)


def there(file: RemoteFile, folder: Path) -> int:
    """Returns how many bytes of a file an earlier download has left."""
    for path in (folder / file.name, folder / f"{file.name}.part"):
        if path.exists():
            return min(path.stat().st_size, file.size)
    return 0


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
    path, part = folder / file.name, folder / f"{file.name}.part"
    try:
        (folder / _DONE).mkdir(exist_ok=True)
        whole = next((each for each in (path, part) if _is_whole(each, file)), None)
        if whole:  # stopped while it was checked or unpacked
            whole.replace(path)
            progress(file.size)
        else:
            _download(file, part, progress)
            part.replace(path)
        members = {file.name: file.size}
        if zipfile.is_zipfile(path):
            members = _unpack(path, folder)
            path.unlink()
        write_json(folder / _DONE / file.name, _mark(file, members))
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot be written ({error.strerror}); run again to go on"
        ) from None


def _mark(file: RemoteFile, members: dict[str, int]) -> dict[str, Any]:
    return {"md5": file.md5, "members": members}


def _is_whole(path: Path, file: RemoteFile) -> bool:
    return path.exists() and path.stat().st_size == file.size and _md5(path) == file.md5


def _download(file: RemoteFile, part: Path, progress: Callable[[int], object]) -> None:
    if part.exists() and part.stat().st_size >= file.size:
        part.unlink()  # of another content
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


def _copy(answer: Any, out: IO[bytes], file: RemoteFile, progress: Callable[[int], object]) -> None:
    """Copies what the server sends, at most a byte more than the record says."""
    left = file.size - out.tell() + 1
    while left > 0:
        try:
            # Returns what is there: nothing is lost when the connection breaks or a signal comes.
            block = answer.read1(min(_BLOCK, left))
        except (OSError, HTTPException) as error:
            raise UserError(f"{file.url}: cut off ({error}); run again to go on") from None
        if not block:
            return
        out.write(block)
        left -= len(block)
        progress(len(block))


def _md5(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _unpack(path: Path, folder: Path) -> dict[str, int]:
    """Unpacks an archive; no member leaves the folder. Returns the files' sizes by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            free = shutil.disk_usage(folder).free
            if size > free:
                raise UserError(
                    f"{folder}: {path.name} unpacks to {size:,} bytes, and {free:,} are free; make "
                    "room and run again"
                )
            return {
                os.path.relpath(archive.extract(member, folder), folder): member.file_size
                for member in archive.infolist()
                if not member.is_dir()
            }
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: can't be unpacked ({error}); do it by hand") from None
