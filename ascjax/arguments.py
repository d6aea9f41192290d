"""Options and arguments of the commands that take no config: argparse with our errors."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from ascjax.errors import UserError, nearest


class Parser(argparse.ArgumentParser):
    """Parses a command line; a mistake in it is a UserError of one line, not a page of usage."""

    def __init__(self, **settings: Any):
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=form, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message}; --help lists the flags")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Returns the options in ``argv``, which begins with the program's name.

        Raises:
          UserError: an unknown flag, a value of a wrong type, or something missing.
        """
        flags.FLAGS.mark_as_parsed()  # absl's own, which keep their defaults
        options, unknown = self.parse_known_args(argv[1:])
        if unknown:
            flag = unknown[0].partition("=")[0]
            self.error(f"unknown {flag!r}{nearest(flag, [f'--{name}' for name in vars(options)])}")
        return options


def folder(text: str) -> Path:
    """Returns the path of a folder that is there; as ``type`` of an argument."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, there is none at {text}")
    return path
