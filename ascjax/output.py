"""Where a command writes what it has to say: standard output at once, or a new file as a whole."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ascjax.errors import UserError
from ascjax.files import writing


@contextmanager
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
