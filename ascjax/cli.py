"""What every command line shares: flags with good errors, exit codes, no traceback.

Imports nothing slow: a mistyped flag is answered before JAX is loaded.
"""

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from absl import app, flags, logging
from ml_collections import config_flags

from ascjax import compilation
from ascjax.config import flatten, load_config
from ascjax.errors import UserError, nearest
from ascjax.signals import Stopped

# Those that several commands have; one declares which are its own.
CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file, e.g. configs/quickstart.py; --config.KEY=VALUE overrides a leaf."
)
WORKDIR = flags.DEFINE_string("workdir", None, "Where runs are kept.")
FOLDS = flags.DEFINE_enum("folds", None, ["all"], "Train on every fold of the set.")

Options = TypeVar("Options")


def run(main: Callable[[Options], None], parse: Callable[[Sequence[str]], Options]) -> None:
    """Runs a command line: exit code 2 and one or two lines for a user's mistake, no traceback."""
    logging.set_verbosity(logging.WARNING)
    compilation.keep()
    try:
        app.run(main, flags_parser=parse)
    except UserError as error:
        sys.exit(_say(f"error: {error}", 2))
    except Stopped as error:
        sys.exit(_say(str(error), error.code))
    except KeyboardInterrupt:
        sys.exit(_say("interrupted", 128 + signal.SIGINT))


def _say(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags.

    Raises:
      UserError: an unknown flag, a value of a wrong type, or a word that is no flag.
    """
    try:
        rest = flags.FLAGS(argv)
    except SystemExit:
        if not any(word.lstrip("-").startswith("help") for word in argv[1:]):
            raise
        sys.exit()  # help was printed, which absl takes for a failure
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())}; --help lists the flags") from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; values go with their flag: --flag=VALUE")
    return rest


def config_file(argv: Sequence[str]) -> str | None:
    """Returns the value of --config, or None."""
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "config":
            return value if equals else following
    return None


def check_keys(path: str, argv: Sequence[str]) -> None:
    """Every --config.KEY must be a leaf of the file's config (absl's own error is a traceback).

    Raises:
      UserError: one isn't, or the file can't be loaded.
    """
    leaves = flatten(load_config(path).to_dict())
    for word in argv:
        if word.startswith(("--config.", "-config.")):
            key = word.lstrip("-").partition("=")[0].removeprefix("config.")
            if key not in leaves:
                raise UserError(
                    f"--config.{key}: {path} has no such key{_nearest_key(key, leaves)}"
                )


def _nearest_key(key: str, leaves: dict[str, Any]) -> str:
    # The right name in a wrong section, data.num_mels for features.num_mels, before a similar one.
    last = [name for name in leaves if name.rpartition(".")[2] == key.rpartition(".")[2]]
    close = f"; did you mean {last[0]!r}?" if last else nearest(key, list(leaves))
    return close or f"; its keys are {', '.join(leaves)}"
