"""The paper's tables by one command: trains what is missing, writes ours beside the paper's.

python -m ascjax.sweep --table=1 --data_root=DIR --workdir=runs/table1 [--seeds=3] [--dry_run]

The same command skips finished runs and goes on with a stopped one. After every run it writes
table.md, table.csv and table.html. --config.KEY=VALUE sets a leaf in every row, e.g.
--config.train.num_epochs=2; the rows and their configs are in ascjax/tables.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from ascjax import cli
from ascjax.cli import FOLDS, WORKDIR
from ascjax.config import FREE, differences
from ascjax.errors import UserError, choose
from ascjax.files import is_new, read_json, write_json
from ascjax.paper.tables import TABLES, Table

FORMAT = 1
# Has every leaf: what --config.KEY=VALUE is checked against.
COMMON = "configs/common.py"

_TABLE = flags.DEFINE_enum("table", None, [*TABLES, "all"], "Which table of the paper.")
_DATA_ROOT = flags.DEFINE_string("data_root", None, "The data set: a folder or a CSV file.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Runs of each row, of so many seeds.", lower_bound=1)
_ROWS = flags.DEFINE_list("rows", None, "Train only these rows, by name; default: all.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "List the runs, their state and time; train none.")

flags.declare_key_flag("workdir")
flags.declare_key_flag("folds")


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags.

    Raises:
      UserError: an unknown flag or key, a value of a wrong type, or a needed flag that is missing.
    """
    if cli.config_file(argv) is not None:
        raise UserError(
            "--config=FILE: every row has its own config file, listed in ascjax/tables.py; "
            "--config.KEY=VALUE sets a leaf in all of them"
        )
    cli.check_keys(COMMON, argv)
    rest = cli.parse([argv[0], f"--config={COMMON}", *argv[1:]])
    for flag, example in ((_TABLE, "1"), (_DATA_ROOT, "DIR"), (WORKDIR, "runs/table1")):
        if not flag.value:
            raise UserError(f"expected --{flag.name}, e.g. --{flag.name}={example}, got none")
    return rest


def main(argv: Sequence[str]) -> None:
    """Runs the sweep, or lists what it would run."""
    del argv
    settings = config_flags.get_override_values(flags.FLAGS["config"])
    tables = {name: table for name, table in TABLES.items() if _TABLE.value in (name, "all")}
    about = {
        "format": FORMAT,
        "tables": list(tables),
        "seeds": _SEEDS.value,
        "folds": FOLDS.value,
        "data_root": _DATA_ROOT.value,
        "settings": {k: v for k, v in settings.items() if k not in FREE},
    }
    run(
        Path(str(WORKDIR.value)),
        about,
        tables,
        settings={**settings, "data.root": _DATA_ROOT.value},
        only=_ROWS.value,
        dry_run=_DRY_RUN.value,
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
