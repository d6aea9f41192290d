"""Files that are whole or not there, and errors that name them; a lock on a folder."""

import contextlib
import errno
import fcntl
import io
import json
import math
import os
import re
import stat
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from ascjax.errors import UserError, is_full_disk

RUN_AGAIN = "start the run's command again to finish it"

# Seconds between two looks at a lock.
_POLL_S = 0.2

TEST_AGAIN = "remove results.json there and start the run's command again to test anew"


# Of a table or a JSON file: far more than one of a million recordings has.
MAX_TEXT_BYTES = 2**28

# How many times a file's own size its arrays may take in memory; ours are stored as they are.
MAX_UNPACKED = 10


def write_bytes(path: Path, content: bytes, partial: Path | None = None) -> None:
    """Writes a file so that it is whole or not there.

    Args:
      path: the file.
      content: all of it.
      partial: what it is called until it is whole; of its own where several processes may write
        the file at once.

    Raises:
      UserError: it can't be written.
    """
    partial = partial or path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> UserError:
    """Returns what is said of a file that can't be written."""
    then = "; free some space and start the same command again" if is_full_disk(error) else ""
    return UserError(f"{path}: cannot be written ({error.strerror}){then}")


def append(path: Path, content: bytes) -> None:
    """Appends to a file all of ``content`` or nothing.

    Raises:
      UserError: it can't be written.
    """
    try:
        with path.open("ab", buffering=0) as file:
            end, written = file.tell(), 0
            try:
                while written < len(content):  # one call may write less
                    written += file.write(content[written:])
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise unwritable(path, error) from None


def write_text(path: Path, text: str) -> None:
    r"""Writes UTF-8 as ``write_bytes`` does; of file names, bytes that are none as ``\udce9``."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON as ``write_bytes`` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file as ``write_bytes`` does."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """Opens a UTF-8 file to be written in parts; it is there once the block ends without error.

    Raises:
      UserError: it can't be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        partial.unlink(missing_ok=True)


def is_url(location: str | os.PathLike[str]) -> bool:
    """Whether a location is a URL, as of a bucket, rather than a path of this machine."""
    # A Path keeps one slash of two.
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(location)) is not None


def check_on_disk(location: str | os.PathLike[str], what: str) -> None:
    """Raises UserError for a bucket, where files can't be mapped, appended to or locked."""
    if is_url(location):
        raise UserError(
            f"{what}={os.fspath(location)}: data sets and runs stay on a file system, shared where "
            "several machines train; only predict --on=ray takes a bucket"
        )


def cache_folder() -> Path:
    """Returns where ascjax keeps what it can make again, in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ascjax")


def as_path(path: str | os.PathLike[str]) -> Path:
    """Returns a path given as a string or a Path; a leading ``~`` is the user's folder.

    Also the ``type`` of an argument: after an equals sign shells leave ``~`` as it is.

    Raises:
      UserError: it is neither, nobody can tell whether it exists (too long a name, a folder above
        that may not be entered), or it is a folder that may not be entered.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"expected a path, got {path!r:.60} ({type(path).__name__})")
    try:
        path = Path(path).expanduser()
    except RuntimeError:  # the name of a file that begins with ~, or no home
        path = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
            os.stat(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if os.path.isdir(path) and not os.access(path, os.X_OK):
        raise UserError(f"{path}: {os.strerror(errno.EACCES)}")
    return path


def check_new(path: Path, flag: str) -> None:
    """Checks, before the work for it, that a file can be written and replaces nothing.

    Args:
      path: the file.
      flag: what the user named it with.

    Raises:
      UserError: it is there already or can't be made.
    """
    # Where Path.exists would raise, as of too long a name, what is below says so.
    if os.path.exists(path):
        raise UserError(f"{flag}={path}: is there already; choose another name or remove it")
    try:
        partial = path.with_name(path.name + ".partial")
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise UserError(f"{flag}={path}: cannot be written ({error.strerror})") from None


def read_bytes(path: Path) -> bytes:
    """Returns the content of a file that is read whole.

    Raises:
      OSError: it can't be read, is larger than ``MAX_TEXT_BYTES``, or is a pipe or device, which
        might never end.
    """
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "it is no file", str(path))
    if status.st_size > MAX_TEXT_BYTES:
        raise OSError(
            errno.EFBIG, f"{status.st_size:,} bytes; at most {MAX_TEXT_BYTES:,} are read", str(path)
        )
    return path.read_bytes()


def read_json(path: Path, *, hint: str = RUN_AGAIN) -> dict[str, Any]:
    """Returns the JSON object in ``path``; ``hint`` says what to do where there is none.

    Raises:
      UserError: the file is missing, or is no JSON object.
    """
    try:
        content = json.loads(read_bytes(path).decode())
    except FileNotFoundError:
        raise UserError(f"{path}: expected this file, there is none; {hint}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected JSON, got {error}; {hint}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {content!r:.40}; {hint}")
    return content


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Returns the arrays ``names`` of an npz file.

    Memory is that of the arrays, together at most ``MAX_UNPACKED`` times the file's size.

    Raises:
      UserError: the file is missing, damaged, lacks one of them, or would unpack to more.
    """
    try:
        # Opened here, since np.load leaves a file that it can't read open.
        with path.open("rb") as file:
            _check_unpacked(file, names)
            with np.load(file) as arrays:
                return {name: arrays[name] for name in names}
    except Exception as e:  # a damaged archive or header can raise nearly anything out of NumPy
        raise UserError(
            f"{path}: expected the arrays {', '.join(names)}, got {e}; {TEST_AGAIN}"
        ) from None


def _check_unpacked(file: IO[bytes], names: Sequence[str]) -> None:
    """Raises ValueError if arrays of an npz file claim to be far larger than the file."""
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    unpacked = 0
    with zipfile.ZipFile(file) as archive:
        for name in names:
            with archive.open(f"{name}.npy") as member:
                shape, _, dtype = headers[np.lib.format.read_magic(member)](member)
            size = archive.getinfo(f"{name}.npy").file_size
            unpacked += max(size, math.prod(shape) * dtype.itemsize)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if unpacked > MAX_UNPACKED * size:
        raise ValueError(f"{unpacked:,} bytes of them packed into {size:,}")


def is_new(workdir: Path, marker: str, hint: str = "choose another folder") -> bool:
    """Makes sure that ``workdir`` is there; returns True if it is new or empty.

    Args:
      workdir: of a run or of a sweep.
      marker: the file that it then has.
      hint: what to do where it holds other things.

    Raises:
      UserError: it can't be written, or holds other things.
    """
    check_on_disk(workdir, "--workdir")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".writable").touch()
        (workdir / ".writable").unlink()
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--workdir={workdir}: cannot write there ({reason}); choose another folder"
        ) from error
    if (workdir / marker).exists():
        return False
    names = sorted(p.name for p in workdir.iterdir())
    others = [name for name in names if name[0] != "." and not name.endswith(".partial")]
    if others:
        raise UserError(
            f"--workdir={workdir}: expected an empty or new folder or one with {marker}, found "
            f"{', '.join(others[:3])}; {hint}"
        )
    return True


class Locked(UserError):
    """Another process holds a folder."""


@contextlib.contextmanager
def exclusive(
    folder: Path, doing: str, *, wait: Callable[[str], object] | None = None
) -> Iterator[None]:
    """Holds ``folder``, made if need be, while in the ``with`` block.

    Args:
      folder: where the file ``.lock`` is kept.
      doing: what another process that holds it is doing, for the message.
      wait: called again and again, with words for the message, while another process holds it.

    Raises:
      Locked: another process holds it, and ``wait`` is None.
      UserError: the folder can't be written, or its file system has no locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise unwritable(folder / ".lock", error) from None
    said = False
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if wait is None:
                    raise Locked(
                        f"{folder}: another process is {doing} here; wait for it"
                    ) from None
                if not said:
                    tqdm.write(f"waiting for another process, which is {doing} in {folder}")
                    said = True
                wait(f"while another process was {doing}")
                time.sleep(_POLL_S)
            except OSError as error:
                raise UserError(
                    f"{folder}: no lock can be kept there ({error.strerror}), and two processes "
                    "could spoil each other's work; choose a folder on another file system"
                ) from None
        yield


@contextlib.contextmanager
def output(path: Path | None) -> Iterator[Callable[[str], object]]:
    """Yields a function that writes text to a new file, or, without a path, to standard output.

    The file is there once the block ends without error. If whoever reads standard output has
    closed it, as ``head`` does, the process ends.

    Raises:
      UserError: it can't be written.
    """
    if path is None:
        yield _print
    else:
        with writing(path) as file:
            yield file.write


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
        sys.exit(0)
    except OSError as error:
        _discard()
        raise UserError(f"standard output: cannot be written ({error.strerror})") from None


def _discard() -> None:
    """Sends to nowhere what Python would try to write again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
