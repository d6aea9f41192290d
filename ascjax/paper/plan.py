"""Plan of a sweep: rows of tables become runs; rows that can't exist or lack weights."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ascjax import models, records
from ascjax import setup as setups
from ascjax.config import differences, load_config
from ascjax.errors import UserError
from ascjax.files import as_path, is_new
from ascjax.paper.tables import Row
from ascjax.runs import folds
from ascjax.runs.folds import PlannedRun
from ascjax.setup import Setup, Survey
from ascjax.signals import StopRequest

SWEEP_FORMAT = 2
SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class Limits:
    """What a data set allows.

    Attributes:
      folds: the numbers of its folds.
      impossible: by row, why it can't exist on this set, or None.
    """

    folds: list[int]
    impossible: dict[str, str | None]

    def __post_init__(self) -> None:
        if not self.folds:
            raise ValueError("expected the numbers of one or more folds")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """sweep.json: which rows, on which data, with which overrides.

    Attributes:
      tables: numbers of the paper's tables.
      seeds: runs of each row, of as many seeds.
      folds: ``all`` or None.
      data_root: the data set.
      settings: overrides of every row, by dotted key.
      limits: None as long as the data set hasn't been read.
    """

    format: int = SWEEP_FORMAT
    tables: list[str]
    seeds: int
    folds: str | None
    data_root: str
    settings: dict[str, Any] = field(default_factory=dict)
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if "\0" in self.data_root:
            raise ValueError(f"expected a path as data_root, got {self.data_root!r:.60}")


@dataclass(frozen=True)
class Entry:
    """A row of a sweep.

    Attributes:
      row: of the paper's tables.
      config: what its runs have in common.
      seeds: for each seed its runs: one, or one for each fold; none if it can't exist.
      impossible: why it can't exist, or None.
      lacking: the command that makes the converted weights that runs still to do lack, or None.
    """

    row: Row
    config: ConfigDict
    seeds: list[list[PlannedRun]]
    impossible: str | None = None
    lacking: str | None = None

    @property
    def runs(self) -> list[PlannedRun]:
        """All its runs."""
        return [run for seed in self.seeds for run in seed]


def make(
    rows: Mapping[str, Row],
    workdir: Path,
    limits: Limits | None,
    *,
    chosen: Sequence[str],
    settings: Mapping[str, Any],
    num_seeds: int,
    all_folds: bool,
) -> tuple[dict[str, Entry], Limits, Survey | None]:
    """Plans the runs of rows, in the folders ROW/seedS or ROW/seedS/foldK.

    Args:
      rows: by name.
      workdir: the sweep's folder.
      limits: those of an earlier call, or None.
      chosen: names of the rows to train; where all of them are finished and the limits known, the
        data set isn't read.
      settings: overrides of every row, by dotted key.
      num_seeds: how many seeds, from the config's on.
      all_folds: whether on every fold of the set.

    Returns:
      The entries by the rows' names; the limits; and the survey of the data set, None if it wasn't
      read.

    Raises:
      UserError: a mistake in a config, the data set, or a run that is already there.
      Stopped: Ctrl-C or SIGTERM.
    """
    configs = {name: make_config(row, settings) for name, row in rows.items()}
    if any(config.protocol == "all" for config in configs.values()):
        raise UserError(
            "config.protocol: tables need a test part, and the protocol all leaves none; expected "
            "paper or validated"
        )
    for config in configs.values():
        setups.check(config)
    entries_within = partial(_entries, rows, configs, workdir, num_seeds, all_folds)
    survey = None
    if limits and not rows.keys() <= limits.impossible.keys():
        limits = None
    entries = entries_within(limits) if limits else {}
    if not limits or any(not run.finished for name in chosen for run in entries[name].runs):
        with StopRequest() as stop:
            survey = setups.survey(next(iter(configs.values())), stop)
            stop.check("before the first run")
        impossible = {name: _why_impossible(config, survey) for name, config in configs.items()}
        limits = Limits(list(survey.dataset.folds), impossible)
        entries = entries_within(limits)
    for entry in entries.values():
        for run in entry.runs:
            folds.check_folder(run)
    return entries, limits, survey


def read_limits(workdir: Path, sweep: Sweep) -> Limits | None:
    """Checks that ``workdir`` is new, or holds this sweep or one that this one extends.

    Returns:
      The limits of its data set, or None if they aren't known.

    Raises:
      UserError: it holds something else, or sweep.json is damaged.
    """
    if is_new(workdir, SWEEP_FILE):
        return None
    hint = "start the sweep in another --workdir and move the folders of its rows there"
    before = records.read(workdir / SWEEP_FILE, Sweep, version=SWEEP_FORMAT, hint=hint)
    limits = before.limits
    # More tables and more seeds leave all that is there as it is.
    tables = sweep.tables if set(before.tables) <= set(sweep.tables) else before.tables
    seeds = max(before.seeds, sweep.seeds)
    root = before.data_root
    if _real(root) == _real(sweep.data_root):
        root = sweep.data_root
    before = replace(before, tables=tables, seeds=seeds, data_root=root, limits=None)
    differing = differences(asdict(before), asdict(sweep))
    if differing:
        raise UserError(
            f"--workdir={workdir}: holds another sweep: {differing}; choose another --workdir"
        )
    return limits


def _real(root: str) -> str:
    return os.path.realpath(os.path.expanduser(root))


def _entries(
    rows: Mapping[str, Row],
    configs: Mapping[str, ConfigDict],
    workdir: Path,
    num_seeds: int,
    all_folds: bool,
    limits: Limits,
) -> dict[str, Entry]:
    """Returns the entries of rows within the limits of their data set."""
    entries = {}
    for name, config in configs.items():
        impossible, lacking = limits.impossible[name], None
        if not impossible:
            impossible, lacking = _without_weights(config)
        seeds = []
        for seed in range(config.seed, config.seed + num_seeds):
            seeded = config.copy_and_resolve_references()
            seeded.seed = seed
            run = PlannedRun(f"{name}, seed {seed}", seeded, workdir / name / f"seed{seed}")
            seeds.append(folds.by_fold(run, limits.folds) if all_folds else [run])
        seeds = [] if impossible else seeds
        if all(run.finished for seed in seeds for run in seed):
            lacking = None
        entries[name] = Entry(rows[name], config, seeds, impossible, lacking)
    return entries


def make_config(row: Row, settings: Mapping[str, Any]) -> ConfigDict:
    """Returns a row's config; ``settings``, by dotted key, come last.

    Raises:
      UserError: its config file is missing or can't be loaded.
    """
    config = load_config(row.config)
    config.update_from_flattened_dict({**row.overrides, **settings})
    return config


def _why_impossible(config: ConfigDict, survey: Survey) -> str | None:
    """Returns why a row can't exist on this data set, or None."""
    try:
        _ = Setup(config, survey).input_shape
    except UserError as error:
        return str(error)
    return None


def _without_weights(config: ConfigDict) -> tuple[str | None, str | None]:
    """Returns why a row can never have its weights, or the command that makes those it lacks.

    Neither where a file is there and is none of them, which `check_runs` says.
    """
    init, trunk = config.init, config.model.trunk
    try:
        setups.weights_file(config)
    except UserError as error:
        if models.TRUNKS[trunk].classifier is None:
            return str(error), None
        file = as_path(init.weights_dir) / f"{trunk}.safetensors"
        if init.weights == "imagenet" and not file.exists():
            return None, f"ascjax convert {trunk} --out {init.weights_dir}"
    return None, None


def check_runs(entries: Mapping[str, Entry], survey: Survey) -> None:
    """Checks that the runs still to do have devices and fragments enough for their batches.

    Args:
      entries: by the rows' names.
      survey: of the data set; its fold stands for the others.

    Raises:
      UserError: one hasn't; the message names it.
    """
    for name, entry in entries.items():
        for run in entry.runs:
            try:
                if not run.finished:
                    Setup(run.config, survey).check()
            except UserError as error:
                others = ",".join(other for other in entries if other != name)
                alternative = f"; or train the others alone with --rows={others}" if others else ""
                raise UserError(f"{run.name}: {error}{alternative}") from None


def check_weights(entries: Mapping[str, Entry]) -> None:
    """Checks that every row has the converted weights that it starts from.

    Raises:
      UserError: some that aren't finished lack them; the message has the commands that make them.
    """
    commands = dict.fromkeys(entry.lacking for entry in entries.values() if entry.lacking)
    if commands:
        others = ",".join(
            name for name, entry in entries.items() if entry.runs and not entry.lacking
        )
        alternative = f", or train the others alone with --rows={others}" if others else ""
        raise UserError(
            f"converted weights are missing; make them with `{' && '.join(map(str, commands))}`, "
            f"or say where they are with --config.init.weights_dir=DIR{alternative}"
        )
