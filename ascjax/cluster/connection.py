"""A connection to a Ray cluster, or to one made of this machine for as long as it is needed."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from ascjax.errors import UserError, first_line

_SECONDS_TO_ANSWER = 10
_SECONDS_TO_CONNECT = 60
_CONNECT = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False)"


@contextlib.contextmanager
def connected(
    address: str | None, *, store_bytes: int, log_to_driver: bool = True
) -> Iterator[Any]:
    """Yields the module ``ray``, connected.

    Args:
      address: HOST:PORT of a cluster's head; None for the one that ``RAY_ADDRESS`` names, or else
        one of this machine alone, which ends with the block.
      store_bytes: shared memory of such a cluster's object store.
      log_to_driver: whether what workers print is printed here.

    Raises:
      UserError: Ray isn't installed, or no cluster answers.
    """
    check(address)
    import ray

    address = address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": store_bytes}
    if address:
        own = {}
    try:
        with warnings.catch_warnings():
            # JAX warns of every fork; Ray's are followed by an exec.
            warnings.filterwarnings("ignore", r"os\.fork\(\)", RuntimeWarning)
            ray.init(
                address or "local",
                logging_level=logging.ERROR,
                log_to_driver=log_to_driver,
                **own,
            )
    except Exception as error:  # a bare one where a machine is too busy to start in 30 s
        where = f"--address={address}" if address else "this machine"
        raise UserError(f"{where}: no Ray cluster ({first_line(error)})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def check(address: str | None) -> None:
    """Raises UserError unless Ray is installed and something listens at an address, if given.

    Ray itself would try again for minutes.
    """
    # What Ray's core prints beside the errors that it raises.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError:
        raise UserError("--on=ray needs Ray: pip install 'ascjax[cluster]'") from None
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--address={address}: expected HOST:PORT of a Ray cluster's head")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
        _connect(address)
    except (OSError, UnicodeError, OverflowError, subprocess.SubprocessError) as error:
        reason = str(error)
        if isinstance(error, subprocess.SubprocessError):
            reason = f"something else, or another version of Ray than {ray.__version__}, listens"
        raise UserError(
            f"--address={address}: no Ray cluster answers there ({reason}); start one with "
            "`ray start --head`, or leave --address out for one of this machine alone"
        ) from None


@cache
def _connect(address: str) -> None:
    """Connects once in a process of its own, which can be ended where Ray waits without end.

    Raises:
      SubprocessError: it can't.
    """
    words = [sys.executable, "-c", _CONNECT, address]
    subprocess.run(words, timeout=_SECONDS_TO_CONNECT, check=True, capture_output=True)
