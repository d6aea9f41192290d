"""Command-line parser with short errors, exit codes and the compilation cache.

Imports nothing slow, so that help and mistakes are answered before JAX is loaded.
"""

import argparse
import codecs
import io
import math
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ascjax import signals
from ascjax.errors import UserError, is_full_disk, nearest
from ascjax.files import as_path, cache_folder
from ascjax.signals import Stopped

CACHE_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
HELP_WIDTH = 80

Options = TypeVar("Options")


def run(main: Callable[[Options], None], parse: Callable[[Sequence[str]], Options]) -> None:
    """Runs ``main(parse(sys.argv))``; a user's mistake is one or two lines and exit code 2."""
    if threading.current_thread() is threading.main_thread():
        signals.handle(caught=True)
    keep_compiled_programs()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files are bytes, and printed as such
        codecs.register_error("ascjax", _as_bytes)
        sys.stdout.reconfigure(errors="ascjax")
    try:
        main(parse(sys.argv))
    except UserError as error:
        _end(f"error: {error}", 2)
    except Stopped as error:
        _end(str(error), error.code)
    except KeyboardInterrupt:
        _end("interrupted", 128 + (signals.heard() or signal.SIGINT))
    except Exception as error:
        # Imports turn an interrupt into errors of their own.
        if number := signals.heard():
            _end("interrupted", 128 + number)
        if not is_full_disk(error):
            raise
        _end(f"error: {error.filename or 'disk'}: cannot be written ({error.strerror})", 2)


def _as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes bytes of names as they are, and ``?`` for what the terminal's encoding lacks."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("replace")(error)


def _end(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    if signals.anything_abandoned():
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def keep_compiled_programs() -> None:
    """Lets JAX keep programs that take a second or more to compile in the user's cache folder.

    To be called before JAX is imported, which reads the environment then. A folder that the user
    has named stays; one that can't be written is left out.
    """
    if CACHE_VARIABLE in os.environ:
        return
    cache = cache_folder() / "xla"
    existing = next((path for path in (cache, *cache.parents) if os.path.exists(path)), cache)
    if cache.is_absolute() and os.access(existing, os.W_OK | os.X_OK):
        os.environ[CACHE_VARIABLE] = str(cache)


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UserError, and whose help fits 80 columns.

    Args:
      prog: the command, e.g. ``"ascjax predict"``.
      description: what it does; its paragraphs are filled, indented ones and tables kept.
      settings: of ``argparse.ArgumentParser``.
    """

    def __init__(self, prog: str, description: str | None = None, **settings: Any):
        super().__init__(
            prog=prog,
            description=_fill(description or ""),
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=HELP_WIDTH),
            allow_abbrev=False,
            **settings,
        )

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message}; --help lists the flags")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Returns the options in ``argv``, which begins with the program's name.

        Raises:
          UserError: an unknown flag, a value of a wrong type, or something missing.
        """
        options, unknown = self.parse_known_args(argv[1:])
        if unknown:
            flag = unknown[0].partition("=")[0]
            if not flag.startswith("-"):
                self.error(f"unexpected argument {unknown[0]!r}")
            self.error(f"unknown {flag!r}{nearest(flag, [f'--{name}' for name in vars(options)])}")
        return options


def _fill(text: str) -> str:
    """Breaks the lines of each paragraph anew, but for those that begin with a space."""
    paragraphs = text.strip("\n").split("\n\n")
    return "\n\n".join(
        paragraph if paragraph.startswith(" ") else textwrap.fill(paragraph, HELP_WIDTH)
        for paragraph in paragraphs
    )


def split_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Splits a command line into other words, and the values of ``--config.KEY=VALUE`` by key.

    Raises:
      UserError: a key without a value.
    """
    rest, overrides = [], {}
    words = iter(argv)
    for word in words:
        if not word.startswith("--config."):
            rest.append(word)
            continue
        key, equals, value = word.removeprefix("--config.").partition("=")
        value = value if equals else next(words, "--")
        if value.startswith("--"):
            raise UserError(f"--config.{key}: expected --config.{key}=VALUE, got no value")
        overrides[key] = value
    return rest, overrides


def require(options: argparse.Namespace, **examples: str) -> None:
    """Raises UserError unless each option of ``examples`` was given."""
    for name, example in examples.items():
        if not getattr(options, name):
            raise UserError(
                f"expected --{name}, e.g. --{name}={example}, got none; --help lists the flags"
            )


def folder(text: str) -> Path:
    """Returns the path of an existing folder; the ``type`` of an argument."""
    path = as_path(text)
    if not os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"expected a folder, there is none at {text}")
    return path


def count(text: str) -> int:
    """Returns an int of 1 or more; the ``type`` of an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def names(text: str) -> list[str]:
    """Returns the parts of ``a,b,c``; the ``type`` of an argument."""
    return [word for word in text.split(",") if word]


def seconds(text: str) -> float:
    """Returns a number above 0; the ``type`` of an argument."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected more than 0 seconds, got {text}")
    return value
