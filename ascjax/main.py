"""Trains a network on labelled recordings, tests it and writes a report.

--config names one of the configs below or a file of your own, which is Python and is run: treat it
as code. --config.KEY=VALUE overrides any of its leaves, e.g. --config.fragments.count=3;
configs/common.py lists them all, with units. A stopped run resumes with the same command.
"""

import argparse
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ascjax import cli
from ascjax.cluster import flags, processes
from ascjax.cluster.place import place
from ascjax.config import describe, find_config, load_config, override, shipped
from ascjax.errors import UserError
from ascjax.files import as_path

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from ascjax.runs.run import Run

USAGE = """ascjax train --config=NAME_OR_FILE [--config.KEY=VALUE ...]
                    [--workdir=DIR] [--folds=all [--on=ray ...]]
                    [--coordinator=HOST:PORT --num_processes=N --process_id=I]"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; ``config`` of the options is the ConfigDict, overrides included.

    Raises:
      UserError: no or no loadable config, an unknown flag or key, or a value of a wrong type.
    """
    parser = cli.Parser("ascjax train", __doc__, usage=USAGE, epilog=_configs())
    add = parser.add_argument
    add("--config", metavar="NAME_OR_FILE", help="e.g. quickstart or configs/quickstart.py")
    add(
        "--workdir",
        type=as_path,
        metavar="DIR",
        help="where the run is kept; default: runs/CONFIG",
    )
    add("--parameter_table", action="store_true", help="print every parameter's shape first")
    add("--folds", choices=["all"], help="train on every fold of the set and pool the results")
    flags.add_runs(parser)
    flags.add_processes(parser)
    words, overrides = cli.split_overrides(argv)
    options = parser.parse(words)
    flags.check(options)
    cli.require(options, config="quickstart")
    if options.on and not options.folds:
        raise UserError("--on=ray: places several runs; it goes with --folds=all")
    options.workdir = options.workdir or Path("runs") / find_config(options.config).stem
    options.config = load_config(options.config, overrides)
    return options


def _configs() -> str:
    """Lists the shipped configs for the help, each with a line and the time it takes."""
    lines = ["configs:"]
    for name, path in shipped().items():
        about = describe(path)
        lines += textwrap.wrap(
            f"{about.line} Time: {about.takes}.",
            cli.HELP_WIDTH,
            initial_indent=f"  {name:15} ",
            subsequent_indent=" " * 18,
        )
    return "\n".join(lines)


def main(options: argparse.Namespace) -> None:
    """Runs the main job and prints the result table and the report's path."""
    # JAX takes seconds to import; a mistyped flag is answered before that.
    from ascjax.report import folds as fold_pages
    from ascjax.report import report, text
    from ascjax.runs import experiment, folds

    if options.folds:
        if not options.on and place(options):
            raise UserError("--folds: trains in one process; leave it out, or use --on=ray")
        trainer = flags.trainer(options)
        pooled, runs = folds.train_folds(options.config, options.workdir, report.write, trainer)
        print(text.folds_table(pooled))
        print(f"report: {fold_pages.write(options.workdir, pooled, runs)}")
        return
    with processes.joined(options):
        run = experiment.train(
            options.config,
            options.workdir,
            report.write,
            parameter_table=options.parameter_table,
        )
    if run is None:
        return
    if run.tested:
        print(text.table(run.results, synthetic=run.info.data.synthetic))
    else:
        print(text.untested(run.info))
    for leak in run.info.data.leaks:
        print(leak)
    for name, reason in run.info.left_out.items():
        print(f"left out: {name}: {reason}")
    for where, peak_gb in run.trained.peak_memory_gb.items():
        print(f"peak memory of the {where}: {peak_gb:.2f} GB")
    print(f"report: {run.path}/report.html")


def train(
    config: "ConfigDict | str | os.PathLike[str]",
    workdir: str | os.PathLike[str],
    **overrides: Any,
) -> "Run":
    """Trains and tests a network; the same call resumes a run that was stopped.

    Args:
      config: a config, its file, or the name of one that comes with ascjax, e.g. ``vgg_mlp``.
      workdir: the run folder: new, empty, or that of the same config.
      **overrides: leaves by dotted key, e.g. ``**{"data.root": "recordings", "seed": 1}``; text is
        parsed as on the command line.

    Returns:
      The finished run; its folder holds report.html.

    Raises:
      UserError: a mistake in the config, the data or the folder.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    from ml_collections import ConfigDict

    from ascjax.report import report
    from ascjax.runs import experiment

    if isinstance(config, ConfigDict):
        made = config.copy_and_resolve_references()
    elif isinstance(config, str | os.PathLike):
        made = load_config(os.fspath(config))
    else:
        raise UserError(f"config: expected a ConfigDict, a file or a name, got {config!r:.60}")
    override(made, overrides)
    run = experiment.train(made, as_path(workdir), report.write)
    assert run is not None, "the first process, and the only one"
    return run


if __name__ == "__main__":
    cli.run(main, parse)
