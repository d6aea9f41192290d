"""Trains the rows of the paper's tables and sets our accuracies beside the paper's.

  ascjax sweep --table=1 --data_root=DIR --workdir=runs/table1

Finished runs are skipped and a stopped one resumes. After every run it writes table.md, table.csv
and table.html. --config.KEY=VALUE overrides a leaf in every row, e.g. --config.train.num_epochs=2;
the rows and their configs are in ascjax/paper/tables.py.
"""

import argparse
import dataclasses
import os
from collections.abc import Sequence

from ascjax import cli, records
from ascjax.cluster import flags
from ascjax.config import FREE, flatten, load_config, parse_overrides
from ascjax.errors import UserError, choose
from ascjax.files import as_path
from ascjax.paper.tables import TABLES

USAGE = """ascjax sweep --table=1|2|3|all --data_root=DIR --workdir=DIR
                    [--config.KEY=VALUE ...] [--folds=all] [--seeds=N]
                    [--rows=NAMES] [--dry_run | --measure=STEPS]
                    [--on=ray ...]"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; ``settings`` of the options are the overrides by dotted key.

    Raises:
      UserError: an unknown flag or key, a value of a wrong type, or a needed flag that is missing.
    """
    parser = cli.Parser("ascjax sweep", __doc__, usage=USAGE)
    add = parser.add_argument
    add("--table", choices=[*TABLES, "all"], help="of the paper")
    add("--data_root", metavar="DIR", help="the data set: a folder or a CSV file")
    add("--workdir", type=as_path, metavar="DIR", help="where the runs and tables are kept")
    add("--folds", choices=["all"], help="train on every fold of the set and pool the results")
    add("--seeds", type=cli.count, default=1, metavar="N", help="seeds of each row; default: 1")
    add("--rows", type=cli.names, metavar="NAMES", help="train only these, a,b,c; default: all")
    add("--dry_run", action="store_true", help="list the runs, their state and time; train none")
    add("--measure", type=cli.count, metavar="STEPS", help=(
        "train none, but time so many steps of each row; writes plan.json and plan.md"
    ))  # fmt: skip
    add("--config", help=argparse.SUPPRESS)
    flags.add_runs(parser)
    words, overrides = cli.split_overrides(argv)
    options = parser.parse(words)
    flags.check(options)
    if options.config is not None:
        raise UserError(
            f"--config={options.config}: every row has its own config, listed in "
            "ascjax/paper/tables.py; --config.KEY=VALUE overrides a leaf in all of them"
        )
    cli.require(options, table="1", data_root="DIR", workdir="runs/table1")
    leaves = flatten(load_config("common").to_dict())
    options.settings = parse_overrides(leaves, overrides)
    return options


def main(options: argparse.Namespace) -> None:
    """Trains the rows that the tables lack and writes the tables, or lists what it would train.

    Raises:
      UserError: an unknown row, a mistake in the data set or the folder, or runs failed.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    # JAX takes seconds to import; a mistyped flag is answered before that.
    from ascjax.paper import comparison, estimate, measured, plan
    from ascjax.report import report

    tables = {name: table for name, table in TABLES.items() if options.table in (name, "all")}
    rows = {name: row for table in tables.values() for name, row in table.rows.items()}
    wanted = rows if options.rows is None else options.rows
    chosen = [choose("--rows", name, {row: row for row in rows}) for name in wanted]
    if not chosen:
        raise UserError(f"--rows: expected names of rows, got none; they are {', '.join(rows)}")
    workdir = options.workdir
    sweep = plan.Sweep(
        tables=list(tables),
        seeds=options.seeds,
        folds=options.folds,
        data_root=options.data_root,
        settings={k: v for k, v in options.settings.items() if k not in FREE},
    )
    limits = (
        plan.read_limits(workdir, sweep) if os.path.exists(workdir) or not options.dry_run else None
    )
    entries, limits, survey = plan.make(
        rows,
        workdir,
        limits,
        chosen=chosen,
        settings={**options.settings, "data.root": options.data_root},
        num_seeds=options.seeds,
        all_folds=options.folds == "all",
    )
    to_train = {name: entries[name] for name in chosen}
    if options.dry_run:
        print(estimate.listing(to_train, survey))
        return
    sweep = dataclasses.replace(sweep, limits=limits)
    if options.measure:
        if survey is None:
            raise UserError(f"--measure: no run is left in {workdir}")
        records.write(workdir / plan.SWEEP_FILE, sweep)
        print(measured.write(workdir, to_train, survey, options.measure))
        print(f"plan: {workdir}/plan.md")
        return
    plan.check_weights(to_train)
    if survey:
        plan.check_runs(to_train, survey)
    records.write(workdir / plan.SWEEP_FILE, sweep)

    def write() -> str:
        return comparison.write(workdir, sweep, tables, entries)

    write()
    runs = [run for entry in to_train.values() for run in entry.runs]
    flags.trainer(options)(runs, report.write, then=write)
    print(write())
    print(f"table: {workdir}/table.html")


if __name__ == "__main__":
    cli.run(main, parse)
