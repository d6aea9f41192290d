"""Trains the rows of the paper's tables and sets our accuracies beside the paper's.

  ascjax sweep --table=1 --data_root=DIR --workdir=runs/table1

Finished runs are skipped and a stopped one resumes. After every run it writes table.md, table.csv
and table.html. --config.KEY=VALUE overrides a leaf in every row, e.g. --config.train.num_epochs=2;
the rows and their configs are in ascjax/paper/tables.py.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ascjax import cli
from ascjax.config import FREE, differences, flatten, load_config, parse_overrides
from ascjax.errors import UserError, choose
from ascjax.files import is_new, read_json, write_json
from ascjax.paper.tables import TABLES, Table

FORMAT = 1
USAGE = """ascjax sweep --table=1|2|3|all --data_root=DIR --workdir=DIR
                    [--config.KEY=VALUE ...] [--folds=all] [--seeds=N]
                    [--rows=NAMES] [--dry_run]"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; ``settings`` of the options are the overrides by dotted key.

    Raises:
      UserError: an unknown flag or key, a value of a wrong type, or a needed flag that is missing.
    """
    parser = cli.Parser("ascjax sweep", __doc__, usage=USAGE)
    add = parser.add_argument
    add("--table", choices=[*TABLES, "all"], help="of the paper")
    add("--data_root", metavar="DIR", help="the data set: a folder or a CSV file")
    add("--workdir", type=Path, metavar="DIR", help="where the runs and tables are kept")
    add("--folds", choices=["all"], help="train on every fold of the set and pool the results")
    add("--seeds", type=cli.count, default=1, metavar="N", help="seeds of each row; default: 1")
    add("--rows", type=cli.names, metavar="NAMES", help="train only these, a,b,c; default: all")
    add("--dry_run", action="store_true", help="list the runs, their state and time; train none")
    add("--config", help=argparse.SUPPRESS)
    words, overrides = cli.split_overrides(argv)
    options = parser.parse(words)
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
    """Runs the sweep, or lists what it would run."""
    tables = {name: table for name, table in TABLES.items() if options.table in (name, "all")}
    about = {
        "format": FORMAT,
        "tables": list(tables),
        "seeds": options.seeds,
        "folds": options.folds,
        "data_root": options.data_root,
        "settings": {k: v for k, v in options.settings.items() if k not in FREE},
    }
    run(
        options.workdir,
        about,
        tables,
        settings={**options.settings, "data.root": options.data_root},
        only=options.rows,
        dry_run=options.dry_run,
    )


def run(
    workdir: Path,
    about: Mapping[str, Any],
    tables: Mapping[str, Table],
    *,
    settings: Mapping[str, Any],
    only: Sequence[str] | None = None,
    dry_run: bool = False,
) -> None:
    """Trains what the tables lack and writes them, or lists what would be trained.

    Args:
      workdir: the sweep's folder.
      about: of its sweep.json, what it is a sweep of.
      tables: by number.
      settings: what every row sets otherwise than its config, by dotted key.
      only: names of the rows to train; None for all.
      dry_run: list only.

    Raises:
      UserError: something the user can mend.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    # JAX takes seconds to import; a mistyped flag is answered before that.
    from ascjax.paper import comparison, estimate, plan
    from ascjax.runs import folds

    rows = {name: row for table in tables.values() for name, row in table.rows.items()}
    wanted = rows if only is None else only
    chosen = [choose("--rows", name, {row: row for row in rows}) for name in wanted]
    if not chosen:
        raise UserError(f"--rows: expected names of rows, got none; they are {', '.join(rows)}")
    limits = _check(workdir, about) if workdir.exists() or not dry_run else None
    entries, limits, found = plan.make(
        rows,
        workdir,
        limits,
        chosen=chosen,
        settings=settings,
        num_seeds=about["seeds"],
        all_folds=about["folds"] == "all",
    )
    to_train = {name: entries[name] for name in chosen}
    if dry_run:
        print(estimate.listing(to_train, found))
        return
    plan.check_weights(to_train)
    if found:
        plan.check_batches(to_train, found)
    write_json(workdir / "sweep.json", {**about, "limits": limits})

    def write() -> str:
        return comparison.write(workdir, about, tables, entries)

    write()
    folds.train([each for entry in to_train.values() for each in entry.runs], then=write)
    print(write())
    print(f"table: {workdir}/table.html")


def _check(workdir: Path, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """Checks that ``workdir`` is new, or of this sweep or one that this one extends.

    Returns:
      The limits that its data set had, as `plan.make` returns, or None if they aren't known.

    Raises:
      UserError: it holds something else, or sweep.json is damaged.
    """
    path = workdir / "sweep.json"
    if is_new(workdir, path.name):
        return None
    mend = "start the sweep in another --workdir and move the folders of its rows there"
    before = read_json(path, required=tuple(about), mend=mend)
    if before["format"] != FORMAT:
        raise UserError(
            f"{path}: expected format {FORMAT}, got {before['format']!r}; use the version of "
            "ascjax that wrote it, or another --workdir"
        )
    limits = before.pop("limits", None)
    if not (isinstance(before["tables"], list) and isinstance(before["seeds"], int)):
        raise UserError(f"{path}: expected a list of tables and a number of seeds; {mend}")
    if limits is not None and not (
        isinstance(limits, dict)
        and isinstance(limits.get("folds"), list)
        and isinstance(limits.get("impossible"), dict)
    ):
        raise UserError(f"{path}: expected limits with folds and impossible rows; {mend}")
    # More tables and more seeds leave all that is there as it is.
    if set(before["tables"]) <= set(about["tables"]):
        before["tables"] = about["tables"]
    before["seeds"] = max(before["seeds"], about["seeds"])
    differing = differences(before, about)
    if differing:
        raise UserError(
            f"--workdir={workdir}: holds another sweep: {differing}; choose another --workdir"
        )
    return limits


if __name__ == "__main__":
    cli.run(main, parse)
