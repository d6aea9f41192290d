"""One training over several processes: started together, watched, and ended together.

The processes find each other by JAX's distributed runtime, which also carries what is said here.
Each says once a second that it is there, or why it ends; one that says nothing for a while has
died, and the others end with a line that names it.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any, NoReturn

from ascjax import signals
from ascjax.cluster.place import SECONDS_TO_COME, Place, place
from ascjax.config import flatten
from ascjax.errors import UserError, first_line
from ascjax.signals import Busy, Stopped, StopRequest

_BEAT_S = 1.0
# After so long without a word a process is dead; JAX's own limit comes later.
_SILENCE_S = 20
_JAX_SILENCE_S = 45
_SECONDS_TO_HEAR = 5
_PACKAGES = (
    "ascjax", "jax", "jaxlib", "flax", "optax", "numpy", "grain", "orbax-checkpoint", "soxr",
    "soundfile",
)  # fmt: skip
# What may differ between machines.
_FREE = {
    "data.num_workers", "data.root", "data.store_dir", "init.weights_dir", "train.from_run",
    "train.teacher",
}  # fmt: skip
_BOX = "ascjax/processes/"


@contextlib.contextmanager
def joined(options: argparse.Namespace) -> Iterator[None]:
    """Trains with the other processes in the ``with`` block; with none, does nothing.

    Only the first prints. An error or a stop in the block ends this process, and the others within
    a minute: from it there is no way back.

    Raises:
      UserError: flags that can't be right.
    """
    where = place(options)
    if where is None:
        yield
        return
    say = _set_noise_aside()
    session = _Session(where, say)
    try:
        session.start()
        _check_same(options.config.to_dict())
        with _silent() if where.process_id else contextlib.nullcontext():
            yield
        session.end()
    except BaseException as error:
        session.leave(error)


class _Session:
    """This process's part in the training."""

    def __init__(self, where: Place, say: Callable[[str], None]):
        self._where, self._say = where, say
        self._note: dict[str, Any] = {"host": socket.gethostname(), "beat": 0}
        self._thread = threading.Thread(target=self._watch, daemon=True, name="ascjax-watch")
        self._ends = threading.Event()
        self._lost = f"process 0 ({where.coordinator}) has ended or can't be reached"
        # Of the others: what each said last, and when.
        self._last: dict[int, tuple[dict[str, Any], float]] = {}

    def start(self) -> None:
        """Connects to the other processes.

        Raises:
          Stopped: a signal came while it waited.
          UserError: the coordinator refuses, as when two processes have one number.
        """
        import jax

        where = self._where
        # Its handler of SIGTERM would take the place of ours.
        jax.config.update("jax_enable_preemption_service", False)
        absent = (
            f"{where.coordinator}: not all {where.num_processes} processes have come within "
            f"{SECONDS_TO_COME} s"
        )
        self._on_abort = _on_abort(self._aborted)
        timer = threading.Timer(SECONDS_TO_COME, lambda: self._exit(f"error: {absent}", 2))
        timer.daemon = True
        timer.start()

        def initialize() -> None:
            jax.distributed.initialize(
                where.coordinator,
                where.num_processes,
                where.process_id,
                initialization_timeout=2 * SECONDS_TO_COME,
                heartbeat_timeout_seconds=_JAX_SILENCE_S,
                cluster_detection_method=None if where.detected else "deactivate",
            )

        with StopRequest() as stop:
            try:
                stop.call(initialize, patience_s=0)
            except Busy:
                stop.check("while waiting for the other processes")
            except RuntimeError as error:
                raise UserError(f"{where.coordinator}: {first_line(error)}") from None
        timer.cancel()
        self._beat()
        self._thread.start()

    def end(self) -> None:
        """Waits for all to have done everything."""
        from ascjax.compute import processes

        processes.gather(None)
        self._ends.set()
        self._thread.join()

    def leave(self, error: BaseException) -> NoReturn:
        """Ends this process with what it says of an error, once the others know."""
        if isinstance(error, Stopped):
            code, line = error.code, "" if self._where.process_id else str(error)
        elif isinstance(error, UserError):
            code, line = 2, f"error: {error}"
        elif isinstance(error, KeyboardInterrupt) or signals.heard():
            code, line = 128 + (signals.heard() or signal.SIGINT), "interrupted"
        else:
            # Devices that wait for one that is gone raise errors of their own; who it was is known
            # in a while, and said by the thread that watches.
            time.sleep(_SILENCE_S + 2 * _BEAT_S)
            code, line = 1, "".join(traceback.format_exception(error)).rstrip()
        if self._thread.is_alive():
            said = "" if isinstance(error, Stopped | KeyboardInterrupt) else first_line(error)
            self._note |= {"code": code, "ends": said}
            from jax.errors import JaxRuntimeError

            with contextlib.suppress(JaxRuntimeError):  # then nobody is there to know
                self._beat()
                self._wait_for_the_others()
        self._exit(line, code)

    def _wait_for_the_others(self) -> None:
        """Makes the first process, which carries what all say, the last one to go."""
        deadline = time.monotonic() + _SECONDS_TO_HEAR
        while self._where.process_id == 0 and time.monotonic() < deadline:
            if all("code" in each for each in self._notes().values()):
                time.sleep(_BEAT_S / 2)
                return
            time.sleep(_BEAT_S / 4)

    def _watch(self) -> None:
        """Says that this process is there, and looks for those that aren't."""
        from jax.errors import JaxRuntimeError

        while not self._ends.wait(_BEAT_S):
            try:
                self._beat()
                notes = self._notes()
            except JaxRuntimeError:
                if not self._ends.is_set():
                    self._exit(f"error: {self._lost}", 1)
                return
            for number, note in notes.items():
                if number == self._where.process_id:
                    continue
                who = f"process {number} on {note['host']}"
                if note.get("ends"):
                    self._exit(f"error: {who}: {note['ends']}", note["code"])
                if note.get("stop") and not signals.heard():
                    os.kill(os.getpid(), note["stop"])
                if note != self._last.get(number, (None,))[0]:
                    self._last[number] = note, time.monotonic()
                elif "code" not in note and time.monotonic() - self._last[number][1] > _SILENCE_S:
                    self._exit(self._died(number), 1)

    def _beat(self) -> None:
        from ascjax.compute import processes

        self._note |= {"beat": self._note["beat"] + 1, "stop": signals.heard()}
        key = f"{_BOX}{self._where.process_id}"
        processes.client().key_value_set(key, json.dumps(self._note), allow_overwrite=True)

    def _notes(self) -> dict[int, dict[str, Any]]:
        from ascjax.compute import processes

        found = processes.client().key_value_dir_get(_BOX)
        return {int(key.rpartition("/")[2]): json.loads(text) for key, text in found}

    def _aborted(self) -> None:
        """Ends this process, which XLA would end, once it is known which one has died.

        The thread that watches may be quicker, or wait for XLA and never say it.
        """
        give_up = time.monotonic() + _SILENCE_S + 2 * _BEAT_S
        while time.monotonic() < give_up:
            for number, (_, heard_s) in self._last.items():
                if time.monotonic() - heard_s > _SILENCE_S:
                    self._exit(self._died(number), 1)
            time.sleep(_BEAT_S / 4)
        self._exit(f"error: {self._lost}", 1)

    def _died(self, number: int) -> str:
        if number == 0:
            return f"error: {self._lost}"
        host = self._last[number][0]["host"]
        return (
            f"error: process {number} on {host} has died; the same commands resume from the last "
            "checkpoint"
        )

    def _exit(self, line: str, code: int) -> NoReturn:
        if line:
            self._say(line)
        # Nothing that others would be waited for: they are gone, or know.
        os._exit(code)


def _set_noise_aside() -> Callable[[str], None]:
    """Sends what XLA's libraries print to nowhere; returns what prints a line to standard error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    errors = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        stream.flush()
        kept = os.fdopen(os.dup(stream.fileno()), "w", buffering=1, errors=stream.errors)
        os.dup2(nowhere, stream.fileno())
        setattr(sys, name, kept)

    def say(line: str) -> None:
        os.write(errors, f"{line}\n".encode(errors="replace"))

    return say


def _on_abort(function: Callable[[], None]) -> Any:
    """Calls a function where XLA ends the process, as it does when process 0 is gone.

    Python's own handlers wait for the main thread, which never gets there. What is returned must be
    kept.
    """
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    handler = kind(lambda _: function())
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, kind]
    libc.signal(signal.SIGABRT, handler)
    return handler


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def _check_same(config: Mapping[str, Any]) -> None:
    """Raises UserError, in each process, unless all have the same versions and config."""
    from ascjax.compute import processes

    versions = {f"version of {name}": metadata.version(name) for name in _PACKAGES}
    leaves = {f"config.{k}": v for k, v in flatten(config).items() if k not in _FREE}
    hosts = processes.gather(socket.gethostname())
    first, *others = processes.gather({**versions, **leaves})
    for number, other in enumerate(others, start=1):
        differing = [
            f"{key} ({first.get(key)!r} in process 0 on {hosts[0]}, {other.get(key)!r} in process "
            f"{number} on {hosts[number]})"
            for key in sorted(first.keys() | other.keys())
            if first.get(key) != other.get(key)
        ]
        if differing:
            more = f", and {len(differing) - 1} more" if differing[1:] else ""
            raise UserError(f"expected the same in all processes: {differing[0]}{more}")
