"""What a sweep has to do: rows of tables become runs; what can't exist, and what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ascjax import cli, models
from ascjax.errors import UserError
from ascjax.files import is_new
from ascjax.paper.tables import Row
from ascjax.runs import folder, folds
from ascjax.runs.folds import Run
from ascjax.setup import builders
from ascjax.signals import StopRequest


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
    seeds: list[list[Run]]
    impossible: str | None = None
    lacking: str | None = None

    @property
    def runs(self) -> list[Run]:
        """All its runs."""
        return [run for seed in self.seeds for run in seed]


def make(
    rows: Mapping[str, Row],
    workdir: Path,
    limits: dict[str, Any] | None,
    *,
    chosen: Sequence[str],
    settings: Mapping[str, Any],
    num_seeds: int,
    all_folds: bool,
) -> tuple[dict[str, Entry], dict[str, Any], builders.Survey | None]:
    """Plans the runs of rows, in the folders ROW/seedS or ROW/seedS/foldK.

    Args:
      rows: by name.
      workdir: the sweep's folder.
      limits: what the data set allows, as returned before and kept since, or None.
      chosen: names of the rows to train; where all of them are finished and the limits known, the
        data set isn't looked at.
      settings: what every row sets otherwise than its config, by dotted key.
      num_seeds: how many seeds, from the config's on.
      all_folds: whether on every fold of the set.

    Returns:
      The entries by the rows' names; the limits, fit for JSON (``folds``: the numbers of those
      there are, ``impossible``: by row, why it can't exist or None); and the survey of the data
      set, None if it wasn't looked at.

    Raises:
      UserError: a config, the data set, or a run that is already there is at fault.
      Stopped: Ctrl-C or SIGTERM.
    """
    configs = {name: make_config(row, settings) for name, row in rows.items()}
    for config in configs.values():
        builders.check(config)
    entries_within = partial(_entries, rows, configs, workdir, num_seeds, all_folds)
    found = None
    if limits and not rows.keys() <= limits["impossible"].keys():
        limits = None
    entries = entries_within(limits) if limits else {}
    if not limits or any(not run.finished for name in chosen for run in entries[name].runs):
        with StopRequest() as stop:
            found = builders.survey(next(iter(configs.values())), stop)
            stop.check("before the first run")
        impossible = {name: _why_impossible(config, found) for name, config in configs.items()}
        limits = {"folds": list(found.dataset.folds), "impossible": impossible}
        entries = entries_within(limits)
    for entry in entries.values():
        for run in entry.runs:
            _check_run(run)
    return entries, limits, found


def _entries(
    rows: Mapping[str, Row],
    configs: Mapping[str, ConfigDict],
    workdir: Path,
    num_seeds: int,
    all_folds: bool,
    limits: Mapping[str, Any],
) -> dict[str, Entry]:
    """Returns the entries of rows within the limits of their data set."""
    entries = {}
    for name, config in configs.items():
        impossible, lacking = limits["impossible"][name], None
        if not impossible:
            impossible, lacking = _without_weights(config)
        seeds = []
        for seed in range(config.seed, config.seed + num_seeds):
            seeded = config.copy_and_resolve_references()
            seeded.seed = seed
            run = Run(f"{name}, seed {seed}", seeded, workdir / name / f"seed{seed}")
            seeds.append(folds.by_fold(run, limits["folds"]) if all_folds else [run])
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
    config = cli.load_config(row.config)
    config.update_from_flattened_dict({**row.overrides, **settings})
    return config


def _why_impossible(config: ConfigDict, found: builders.Survey) -> str | None:
    """Returns why a row can't exist on this data set, or None."""
    try:
        found.input_shape(config)
    except UserError as error:
        return str(error)
    return None


def _without_weights(config: ConfigDict) -> tuple[str | None, str | None]:
    """Returns why a row can never have its weights, or by which command it gets those it lacks."""
    try:
        builders.find_weights(config)
    except UserError as error:
        trunk = config.model.trunk
        if models.TRUNKS[trunk].classifier is None:
            return str(error), None
        return None, f"python -m convert {trunk} --out {config.init.weights_dir}"
    return None, None


def _check_run(run: Run) -> None:
    """Raises UserError if a run that is already there is damaged or of another config."""
    if (run.path / "config.json").exists():
        folder.check(run.path, run.config.to_dict())
    elif run.path.exists():
        is_new(run.path, "config.json", mend="move them away")
    if run.finished:
        folds.read([run])


def check_batches(entries: Mapping[str, Entry], found: builders.Survey) -> None:
    """Checks that the runs still to do have devices and fragments enough for their batches.

    Args:
      entries: by the rows' names.
      found: of the data set; its fold stands for the others.

    Raises:
      UserError: one hasn't; the message names it.
    """
    for name, entry in entries.items():
        for run in entry.runs:
            try:
                if not run.finished:
                    builders.devices(run.config)
                    found.check_batch(run.config)
            except UserError as error:
                others = ",".join(other for other in entries if other != name)
                without = f"; or train the others alone with --rows={others}" if others else ""
                raise UserError(f"{run.name}: {error}{without}") from None


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
        without = f", or train the others alone with --rows={others}" if others else ""
        raise UserError(
            f"converted weights are missing; make them with `{' && '.join(map(str, commands))}`, "
            f"or say where they are with --config.init.weights_dir=DIR{without}"
        )
