"""Files that are whole or not there, and errors that name them; a lock on a folder."""

import contextlib
import fcntl
import io
import json
import os
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ascjax.errors import UserError

RUN_AGAIN = "start the run's command again to finish it"

# Seconds between two looks at a lock.
_POLL_S = 0.2

TEST_AGAIN = "remove results.json there and start the run's command again to test anew"


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that it is whole or not there.

    Raises:
      UserError: it can't be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 as ``write_bytes`` does."""
    write_bytes(path, text.encode())


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
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


def as_path(path: str | os.PathLike[str]) -> Path:
    """Returns a path given as a string or a Path.

    Raises:
      UserError: it is neither.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"expected a path, got {path!r:.60} ({type(path).__name__})")
    return Path(path)


def check_new(path: Path, flag: str) -> None:
    """Checks, before the work for it, that a file can be written and replaces nothing.

    Args:
      path: the file.
      flag: what the user named it with.

    Raises:
      UserError: it is there already or can't be made.
    """
    if path.exists():
        raise UserError(f"{flag}={path}: is there already; choose another name or remove it")
    try:
        partial = path.with_name(path.name + ".partial")
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise UserError(f"{flag}={path}: cannot be written ({error.strerror})") from None


def read_json(path: Path, *, hint: str = RUN_AGAIN) -> dict[str, Any]:
    """Returns the JSON object in ``path``; ``hint`` says what to do where it is damaged.

    Raises:
      UserError: the file is missing, or is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: expected this file of a finished run; {RUN_AGAIN}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected JSON, got {error}; {hint}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {content!r:.40}; {hint}")
    return content


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Returns the arrays ``names`` of an npz file.

    Raises:
      UserError: the file is missing, damaged or lacks one of them.
    """
    try:
        # Opened here, since np.load leaves a file that it can't read open.
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in names}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as e:
        raise UserError(
            f"{path}: expected the arrays {', '.join(names)}, got {e}; {TEST_AGAIN}"
        ) from None


def is_new(workdir: Path, marker: str, hint: str = "choose another folder") -> bool:
    """Makes sure that ``workdir`` is there; returns True if it is new or empty.

    Args:
      workdir: of a run or of a sweep.
      marker: the file that it then has.
      hint: what to do where it holds other things.

    Raises:
      UserError: it can't be written, or holds other things.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".writable").touch()
        (workdir / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"--workdir={workdir}: cannot write there ({error.strerror}); choose another folder"
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
      UserError: its file system has no locks.
      OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if wait is None:
                    raise Locked(
                        f"{folder}: another process is {doing} here; wait for it"
                    ) from None
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
