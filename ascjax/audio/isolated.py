"""Reads many audio files in a process of its own, which a damaged one may end.

A fault in a decoder's C code ends the process that it is in. Here that costs the one file that was
being read: it becomes a BadRecording, and a new process goes on behind it.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ascjax import signals
from ascjax.audio.errors import BadRecording, bad_recording
from ascjax.errors import UserError

T = TypeVar("T")

# A process starts within the time that some hundred headers take; fewer are read in this one.
MIN_FILES = 64

_SERVE = "from ascjax.audio import isolated; isolated.serve()"


def num_cores() -> int:
    """Returns the environment's NPROC, which XLA follows too, or the cores of this process."""
    setting = os.environ.get("NPROC", "")
    if setting.isdecimal() and int(setting):
        return int(setting)
    # Not every system can bind a process to cores.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    read: Callable[[Path], T], paths: Sequence[Path], *, min_files: int | None = None
) -> Generator[T | BadRecording, None, None]:
    """Yields what ``read`` returns for each path, or the BadRecording that it raises, in order.

    Args:
      read: a function of a module, such as `wave.probe`; what it returns can be pickled.
      paths: of the files.
      min_files: fewer are read in this process; None: `MIN_FILES`.

    Raises:
      UserError: no process can be started.
    """
    if len(paths) < (MIN_FILES if min_files is None else min_files):
        yield from (_answer(read, path) for path in paths)
        return
    done = 0
    while done < len(paths):
        for answer in _served(read, paths[done:]):
            yield answer
            done += 1


def died(path: Path, status: int | None = None) -> BadRecording:
    """Returns the error for a file whose reading ended a process, with its exit status if known."""
    how = f" ({signal.Signals(-status).name})" if status is not None and status < 0 else ""
    return bad_recording(path, f"ends the process that decodes it{how}; leave it out")


def _answer(read: Callable[[Path], T], path: Path) -> T | BadRecording:
    try:
        return read(path)
    except BadRecording as error:
        return error


def _served(read: Callable[[Path], T], paths: Sequence[Path]) -> Iterator[T | BadRecording]:
    """Yields the answers of one process; if it dies, the last says so of the file it had."""
    with tempfile.TemporaryFile() as todo:
        pickle.dump((read, list(paths)), todo)
        todo.seek(0)
        with signals.withheld():  # until it ignores them
            reader = subprocess.Popen(
                [sys.executable, "-c", _SERVE],
                stdin=todo,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
    assert reader.stdout is not None
    count = -1  # of answers; the first says that the process has begun
    try:
        for count in range(-1, len(paths)):
            answer = pickle.load(reader.stdout)
            if count >= 0:
                yield answer
    except (EOFError, pickle.UnpicklingError):
        status = reader.wait()
        if count < 0:
            raise UserError(
                f"a process to read audio files can't start (its status is {status}); try again"
            ) from None
        yield died(paths[count], status)
    finally:
        reader.kill()
        reader.stdout.close()
        reader.wait()


def serve() -> None:
    """Answers, through standard output, for the files that come through standard input."""
    signals.ignore()  # whoever started this ends it,
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # or is gone
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a decoder prints comes between
    read, paths = pickle.load(sys.stdin.buffer)
    pickle.dump("begun", answers)
    answers.flush()
    for path in paths:
        pickle.dump(_answer(read, path), answers)
        answers.flush()
