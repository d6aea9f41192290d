"""The command line: ``ascjax COMMAND ...``, also ``python -m ascjax COMMAND ...``."""

import runpy
import sys
from collections.abc import Sequence

from ascjax import __version__, signals
from ascjax.errors import choose

# Module and purpose of each command; `ascjax NAME` does what `python -m MODULE` does.
COMMANDS = {
    "describe": (
        "ascjax.describe",
        "describe a data set: what it holds, what training would use",
    ),
    "fetch": ("ascjax.fetch.__main__", "download a published data set"),
    "train": ("ascjax.main", "train a network on recordings, test it and write a report"),
    "predict": ("ascjax.predict", "predict the scenes of audio files with a finished run"),
    "demo": ("ascjax.deploy.demo", "show in a browser what a network makes of a sound"),
    "embed": ("ascjax.embed", "write the network's features of audio files to npz or Parquet"),
    "evaluate": ("ascjax.evaluate", "score a finished run with other fusions, channels, fragments"),
    "probe": ("ascjax.probing.__main__", "probe what each block of a trunk knows of the scenes"),
    "figures": ("ascjax.figures", "draw the paper's figures from recordings and runs"),
    "export": ("ascjax.deploy.export", "export a run as one graph, ONNX or StableHLO"),
    "sweep": ("ascjax.sweep", "train the rows of the paper's tables"),
    "convert": ("ascjax.convert.__main__", "convert ImageNet weights from torchvision"),
}


def listing() -> str:
    """Returns the help: every command with a line."""
    lines = [f"  {name:10}{purpose}" for name, (_, purpose) in COMMANDS.items()]
    return "\n".join([
        "usage: ascjax COMMAND [--help] ...",
        "",
        "Acoustic scene classification with transferred image networks.",
        "",
        "commands:",
        *lines,
        "",
        "`ascjax COMMAND --help` lists the flags of a command, `ascjax --version` the",
        "version.",
    ])  # fmt: skip


def parse(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Returns the name of the command, or ``--help`` or ``--version``, and its arguments.

    Raises:
      UserError: there is no such command.
    """
    name = argv[1] if len(argv) > 1 else "--help"
    name = "--help" if name == "-h" else name
    if name not in ("--help", "--version"):
        choose("command", name, COMMANDS)
    return name, argv[2:]


def dispatch(command: tuple[str, Sequence[str]]) -> None:
    """Runs a command, or prints the help or the version."""
    name, words = command
    if name == "--help":
        print(listing())
    elif name == "--version":
        print(f"ascjax {__version__}")
    else:
        module, _ = COMMANDS[name]
        sys.argv = [f"ascjax {name}", *words]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Runs the command that the words of the command line name."""
    signals.handle(caught=False)
    from ascjax import cli  # after that, as imports take time

    cli.run(dispatch, parse)


if __name__ == "__main__":
    main()
