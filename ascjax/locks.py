"""One process at a time in a folder, by a lock that ends with the process, however it ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from ascjax.errors import UserError


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Holds ``folder``, made if need be, while in the ``with`` block.

    Args:
      folder: where the file ``.lock`` is kept.
      doing: what another process that holds it is doing, for the message.

    Raises:
      UserError: another process holds it.
      OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another process is {doing} here; wait for it") from None
        yield
