"""Ctrl-C and SIGTERM as a stop request that long jobs check where stopping loses nothing."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long a stop waits for what is being computed; together with a save it stays below 10 s.
PATIENCE_S = 4.0
_POLL_S = 0.1
_ABANDONED = "ascjax-abandoned"


class Stopped(Exception):
    """The user asked to stop; everything done so far is on disk. ``code`` is the exit code."""

    def __init__(self, where: str, code: int = 128 + signal.SIGINT):
        super().__init__(f"stopped {where}; the same command resumes from there")
        self.code = code


class Busy(Exception):
    """A stop was requested, and what `StopRequest.call` was asked for isn't done yet."""


class Interrupted(KeyboardInterrupt):
    """A signal that nothing waits for; ``code`` is the exit code."""

    def __init__(self, number: int):
        super().__init__()
        self.code = 128 + number


# Signals since `handle`.
_heard: list[int] = []


class StopRequest:
    """Within ``with StopRequest() as stop``, the first signal makes ``stop.requested`` true.

    A second one does what the signal did before, for those who can't wait. Of two of these, one
    within the other, both learn of a signal, also of one that came before the inner one began.

    Args:
      agree: returns the signal that any of the processes that stop together has had, or None.
    """

    def __init__(self, agree: Callable[[int | None], int | None] = lambda number: number) -> None:
        self.signal: int | None = None
        self._agree = agree
        self._told = False
        self._heard_s: float | None = None
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def agreed(self) -> bool:
        """Whether a signal has come to any process; all that stop together ask at the same time."""
        number = self._agree(self.signal)
        if number is not None and self.signal is None:
            self.signal, self._told = number, True
            _heard.append(number)
        return number is not None

    def check(self, where: str) -> None:
        """Raises Stopped(``where``) if a signal has come."""
        if self.signal is not None:
            raise Stopped(where, 128 + self.signal)

    def call(self, function: Callable[..., T], *args: Any, patience_s: float = PATIENCE_S) -> T:
        """Calls a function in a thread, so that a stop is heard while it computes.

        Python hears a signal between two instructions of its main thread, and one that compiles a
        program or waits for a device may take minutes.

        Args:
          function: what to call; it may go on when this has raised, so it must be safe to end
            with the process.
          *args: its arguments.
          patience_s: seconds from the signal on, that all calls have together.

        Raises:
          Busy: a stop was requested and it didn't return in time.
          Exception: what the function raised.
        """
        done, outcome = threading.Event(), list[tuple[Any, BaseException | None]]()

        def run() -> None:
            try:
                outcome.append((function(*args), None))
            except BaseException as error:
                outcome.append((None, error))
            done.set()

        thread = threading.Thread(target=run, name="ascjax-call", daemon=True)
        thread.start()
        while not done.wait(_POLL_S):
            if self.requested:
                self._heard_s = self._heard_s or time.monotonic()
                if time.monotonic() - self._heard_s > patience_s:
                    thread.name = _ABANDONED
                    raise Busy
        [(value, error)] = outcome
        if error is not None:
            raise error
        return value

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._told:  # by the other processes; this is the same request, by another way
            self._told = False
            return
        first = not self.requested
        if first:
            self.signal = number
            _heard.append(number)
        previous = self._previous[number]
        if isinstance(getattr(previous, "__self__", None), StopRequest) or not first:
            _pass_on(previous, number, frame)

    def __enter__(self) -> "StopRequest":
        # Only the main thread may set handlers; elsewhere signals are for whoever did there.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._receive)
                outer = getattr(self._previous[number], "__self__", None)
                if isinstance(outer, StopRequest) and outer.requested:
                    self.signal = outer.signal
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def _pass_on(handler: Any, number: int, frame: FrameType | None) -> None:
    """Does what a signal would do under another handler."""
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def handle(*, caught: bool) -> None:
    """Sets what signals do to a command outside of StopRequest.

    The first raises `Interrupted`, the second ends the process, with the exit code of the first and
    no traceback. Nothing is lost: files are written whole or not at all.

    Args:
      caught: whether `Interrupted` is caught; if not, as while the command is imported, the first
        signal ends the process, too.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        if _heard or not caught:
            _end(_heard[0] if _heard else number)
        _heard.append(number)
        raise Interrupted(number)

    def unraisable(hook: Any) -> None:
        # In a callback, as of a weak reference, an exception would be printed and forgotten.
        if issubclass(hook.exc_type, Interrupted):
            _end(_heard[0])
        sys.__unraisablehook__(hook)

    _heard.clear()
    for number in _SIGNALS:
        signal.signal(number, receive)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = unraisable


@contextlib.contextmanager
def withheld() -> Iterator[None]:
    """Keeps signals from this thread and from processes that it starts, until they `ignore` them.

    A terminal sends Ctrl-C to them all, and one that still imports would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Leaves signals to the process that started this one."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def heard() -> int | None:
    """Returns the first signal since `handle`, or None."""
    return _heard[0] if _heard else None


def _end(number: int) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def anything_abandoned() -> bool:
    """Whether a thread still computes what nobody waits for, so that Python can't end in order."""
    return any(thread.name == _ABANDONED for thread in threading.enumerate())
