"""Folders and objects by URL, through fsspec: s3://…, gs://…, and paths of this machine."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

from ascjax.audio.errors import BadRecording, bad_recording
from ascjax.errors import UserError, first_line, is_full_disk
from ascjax.files import cache_folder, is_url, write_bytes
from ascjax.runs.sources import Source

# Objects that a worker fetches at once, ahead of the one that it reads.
_AT_ONCE = 8
# Ends the name of a file that isn't whole.
_PARTIAL = ".partial"


def open_folder(location: str) -> tuple[Any, str]:
    """Returns fsspec's file system of a location, and the path in it.

    Raises:
      UserError: fsspec or what it needs for such URLs isn't installed, or there is no such kind.
    """
    try:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        if not is_url(location):
            return LocalFileSystem(), os.path.abspath(location)
        # Not fsspec's url_to_fs, to which "::" in a name is a chain of file systems.
        kind = fsspec.get_filesystem_class(location.partition("://")[0])
        options = kind._get_kwargs_from_urls(location)
        # Listings of a million objects needn't be kept.
        return kind(**options, use_listings_cache=False), kind._strip_protocol(location)
    except ImportError as error:
        raise UserError(
            f"{location}: {error}; pip install 'ascjax[cluster]', and gcsfs for gs://"
        ) from None
    except ValueError as error:
        raise UserError(f"{location}: {error}") from None


@contextlib.contextmanager
def errors_named(location: str) -> Iterator[None]:
    """Turns what a file system or bucket refuses into a UserError that names it."""
    try:
        yield
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{location}: no right to do that ({_reason(error)})") from None
    except FileNotFoundError:
        raise UserError(f"{location}: expected a file, folder or bucket, there is none") from None
    except Exception as error:  # of whichever of fsspec's file systems
        raise UserError(f"{location}: {_reason(error)}") from None


class Folder:
    """A folder that files are written to, each whole or not at all."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.fs, self.root = open_folder(location)

    def path(self, name: str) -> str:
        """Returns where fsspec has a file of this folder."""
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes | None:
        """Returns a file's content, or None."""
        with errors_named(self.location), contextlib.suppress(FileNotFoundError):
            return bytes(self.fs.cat_file(self.path(name)))
        return None

    def write(self, files: dict[str, bytes]) -> None:
        """Writes files by name."""
        with errors_named(self.location):
            if is_url(self.location):  # a put is whole or not there
                self.fs.pipe({self.path(name): content for name, content in files.items()})
                return
            for name, content in files.items():
                path = Path(self.root, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                # Another process may write the same file; what reads Parquet skips hidden ones.
                write_bytes(path, content, path.with_name(f".{path.name}.{uuid4().hex}{_PARTIAL}"))

    def create(self, name: str, content: bytes) -> bool:
        """Writes a file that isn't there yet; returns False if another process has been first.

        On a file system the folder has to be locked.
        """
        if not is_url(self.location):
            self.write({name: content})
            return True
        with errors_named(self.location):
            try:
                self.fs.pipe_file(self.path(name), content, mode="create")
            except FileExistsError:
                return False
        return True

    def names(self, name: str = "") -> list[str]:
        """Returns what an inner folder holds, or this one."""
        with errors_named(self.location), contextlib.suppress(FileNotFoundError):
            found = self.fs.ls(self.path(name).rstrip("/"), detail=False)
            return [each.rstrip("/").rpartition("/")[2] for each in found]
        return []

    def remove(self, name: str) -> None:
        """Removes a file or an inner folder, if it is there."""
        with errors_named(self.location), contextlib.suppress(FileNotFoundError):
            path = self.path(name)
            if is_url(self.location):  # where rm takes [ and * for patterns
                for each in self.fs.find(path):
                    self.fs.rm_file(each)
            else:
                self.fs.rm(path, recursive=True)

    def remove_partial(self, name: str) -> None:
        """Removes what killed processes have left in an inner folder; a bucket keeps no halves."""
        if is_url(self.location):
            return
        for each in self.names(name):
            if each.endswith(_PARTIAL):
                self.remove(f"{name}/{each}")

    def rows(self, name: str) -> dict[str, int]:
        """Returns how many rows each Parquet file of an inner folder has."""
        from pyarrow import dataset

        with errors_named(self.location):
            table = dataset.dataset(self.path(name), format="parquet", filesystem=self.fs)
            files = list(table.get_fragments())
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                counts = pool.map(lambda file: int(file.count_rows()), files)
                return dict(
                    zip((os.path.basename(each.path) for each in files), counts, strict=True)
                )


class Lost:
    """A recording that can't be read, as a source: it raises the error."""

    def __init__(self, name: str, error: BadRecording) -> None:
        self.name, self._error = name, error

    def read(self, size: int, /) -> bytes:
        """Raises BadRecording."""
        raise self._error


def fetched(locations: Iterable[str]) -> Iterator[Source]:
    """Yields the recordings at paths and URLs: paths as they are, objects as files until the next.

    Objects are fetched ahead, a few at once; each gets the retries of its file system. One that
    can't be fetched is `Lost`, with an OSError as the error's cause.

    Raises:
      UserError: the disk of this machine is full.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ascjax-") as folder,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        ahead: deque[Any] = deque()
        for index, location in enumerate(locations):
            # A signature may follow the name on the web.
            name = location.partition("?")[0] if location.startswith("http") else location
            to = os.path.join(folder, f"{index}{Path(name).suffix}")
            ahead.append(pool.submit(_fetch, location, to))
            if len(ahead) > _AT_ONCE:
                yield from _used(ahead.popleft().result(), folder)
        while ahead:
            yield from _used(ahead.popleft().result(), folder)


def _fetch(location: str, to: str) -> Source:
    if not is_url(location):
        return location
    try:
        fs, path = open_folder(location)
        fs.get_file(path, to)
    except Exception as error:  # of whichever of fsspec's file systems
        if isinstance(error, OSError) and is_full_disk(error):
            raise UserError(f"{to}: cannot be written ({error.strerror})") from None
        lost = bad_recording(location, f"can't be fetched ({_reason(error)})")
        lost.__cause__ = error if isinstance(error, OSError) else OSError(str(error))
        return Lost(location, lost)
    return to


def _used(source: Source, folder: str) -> Iterator[Source]:
    yield source
    if isinstance(source, str) and os.path.dirname(source) == folder:
        os.unlink(source)


def staged(run: str) -> str:
    """Returns the folder of a run on this machine: of one in a bucket, a copy in the cache folder.

    Raises:
      UserError: it can't be read.
    """
    if not is_url(run):
        return run
    fs, path = open_folder(run)
    with errors_named(run):
        found = fs.find(path, detail=True)
        # What prediction reads; not the checkpoints and events of training.
        files = {each: os.path.relpath(each, path) for each in found}
        files = {
            each: name
            for each, name in files.items()
            if "checkpoints/" not in name and not name.startswith("..")
        }
        if not files:
            raise UserError(f"{run}: expected the folder of a finished run, there is none")
        # Another version of the same run is another copy.
        state = repr([(each, fs.ukey(each)) for each in sorted(files)])
        key = hashlib.sha256(f"{run}\0{state}".encode()).hexdigest()[:16]
        folder = cache_folder() / "runs" / key
        if folder.exists():
            return str(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = tempfile.mkdtemp(prefix=key, dir=folder.parent)
        try:
            for each, name in files.items():
                target = Path(partial, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                fs.get_file(each, str(target))
            # Another process may have been as quick; its copy is the same.
            with contextlib.suppress(OSError):
                os.rename(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return str(folder)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or first_line(error)
