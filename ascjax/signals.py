"""Ctrl-C and SIGTERM as a stop request that long jobs check where stopping loses nothing."""

import signal
from types import FrameType
from typing import Any


class Stopped(Exception):
    """The user asked to stop; everything done so far is on disk. ``code`` is the exit code."""

    def __init__(self, where: str, code: int = 128 + signal.SIGINT):
        super().__init__(f"stopped {where}; the same command resumes from there")
        self.code = code


class StopRequest:
    """Within ``with StopRequest() as stop``, the first signal makes ``stop.requested`` true.

    A second one interrupts at once (KeyboardInterrupt), for those who can't wait.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def check(self, where: str) -> None:
        """Raises Stopped(``where``) if a signal has come."""
        if self.signal is not None:
            raise Stopped(where, 128 + self.signal)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.signal = number

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
