"""Errors about audio files."""

import os

from ascjax.errors import UserError


class BadRecording(UserError):
    """An audio file that can't be used; the message is one line with the file and the reason."""


def bad_recording(path: str | os.PathLike[str], reason: object) -> BadRecording:
    """Returns the error for a file: its name as ``display`` prints it, and the reason."""
    return BadRecording(f"{display(path)}: {reason}")


def display(path: str | bytes | os.PathLike) -> str:
    r"""Returns a path that can be printed on one line.

    Bytes that are no UTF-8, line ends and other control characters are written as escapes, such
    as ``\udce9`` and ``\n``.
    """
    text = os.fsdecode(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
