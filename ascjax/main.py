"""Trains and evaluates: python -m ascjax.main --config=configs/vgg_mlp.py --config.data.root=DIR.

Every leaf of the config can be overridden, e.g. --config.fragments.count=3. The same command goes
on with a run that was stopped.
"""

import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import app, flags, logging
from ml_collections import config_flags

from ascjax import run_folder
from ascjax.errors import UserError, nearest
from ascjax.signals import Stopped

Options = TypeVar("Options")

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file, e.g. configs/quickstart.py; --config.KEY=VALUE overrides a leaf."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run folder; default: runs/ and the config file's name."
)


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags.

    Raises:
      UserError: a config file that isn't there, an unknown flag or key, or a value of a wrong type.
    """
    config_file = _value_of("config", argv)
    if config_file is not None:
        _check_keys(config_file, argv)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())}; --help lists the flags") from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; values go with their flag: --flag=VALUE")
    if config_file is None:
        raise UserError("expected --config=FILE, e.g. --config=configs/quickstart.py, got none")
    return rest


def _value_of(flag: str, argv: Sequence[str]) -> str | None:
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == flag:
            return value if equals else following
    return None


def _check_keys(config_file: str, argv: Sequence[str]) -> None:
    """Every --config.KEY must be a leaf of the file's config (absl's own error is a traceback)."""
    if not Path(config_file).is_file():
        raise UserError(
            f"--config={config_file}: expected a config file, e.g. configs/quickstart.py; there is "
            "none, check the path"
        )
    try:
        leaves = run_folder.flatten(runpy.run_path(config_file)["get_config"]().to_dict())
    except Exception as error:  # whatever a user's file may do wrong
        raise UserError(
            f"--config={config_file}: cannot be loaded: {type(error).__name__}: {error}; it must "
            "define get_config(), and run in the folder that holds configs/"
        ) from error
    for word in argv:
        if word.startswith(("--config.", "-config.")):
            key = word.lstrip("-").partition("=")[0].removeprefix("config.")
            if key not in leaves:
                raise UserError(
                    f"--config.{key}: {config_file} has no such key{_nearest_key(key, leaves)}"
                )


def _nearest_key(key: str, leaves: dict[str, Any]) -> str:
    # The right name in a wrong section, data.num_mels for features.num_mels, before a similar one.
    last = [name for name in leaves if name.rpartition(".")[2] == key.rpartition(".")[2]]
    close = f"; did you mean {last[0]!r}?" if last else nearest(key, list(leaves))
    return close or f"; its keys are {', '.join(leaves)}"


def main(argv: Sequence[str]) -> None:
    """Runs the main job and prints the result table and the report's path."""
    del argv
    # JAX takes seconds to import; a mistyped flag is answered before that.
    from ascjax import experiment, report

    config_file = config_flags.get_config_filename(flags.FLAGS["config"])
    workdir = Path(_WORKDIR.value or Path("runs") / Path(config_file).stem)
    page = experiment.train_and_evaluate(_CONFIG.value, workdir)
    results, about = (run_folder.read_json(workdir / f"{name}.json") for name in ("results", "run"))
    print(report.table(results, synthetic=about["synthetic"]))
    for name, reason in about["left_out"].items():
        print(f"left out: {name}: {reason}")
    print(f"report: {page}")


def run_command(main: Callable[[Options], None], parse: Callable[[Sequence[str]], Options]) -> None:
    """Runs a command line: exit code 2 and one or two lines for a user's mistake, no traceback."""
    logging.set_verbosity(logging.WARNING)
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


if __name__ == "__main__":
    run_command(main, parse)
