"""Errors shown to the user."""

import errno
from collections.abc import Mapping
from typing import TypeGuard, TypeVar

T = TypeVar("T")


class UserError(Exception):
    """A mistake in input, options or files that the user can correct.

    The message says in one or two lines what was expected, what came, which file or key, and what
    to do next. Command lines print it without a traceback and exit with code 2.
    """


def is_full_disk(error: BaseException) -> TypeGuard[OSError]:
    """Whether an error says that a disk, a quota or the largest size of a file is used up."""
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
    )


def nearest(name: str, names: list[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the closest of ``names``, or an empty string."""
    import difflib  # only where something is mistyped

    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def choose(what: str, name: str, choices: Mapping[str, T]) -> T:
    """Returns ``choices[name]``.

    Args:
      what: the thing chosen, as the user knows it, e.g. ``"config.model.trunk"``.
      name: the user's choice.
      choices: every choice by name.

    Raises:
      UserError: ``name`` is no choice; the message lists the choices and the nearest one.
    """
    if name in choices:
        return choices[name]
    listed = ", ".join(choices)
    raise UserError(f"{what}: expected one of {listed}, got {name!r}{nearest(name, list(choices))}")


def first_line(error: BaseException) -> str:
    """Returns the first line of another library's message, at most 200 characters of it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
