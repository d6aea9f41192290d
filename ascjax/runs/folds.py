"""Several runs in sequence: the folds of a set, the rows of a sweep; their results pooled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax import records
from ascjax import setup as setups
from ascjax.errors import UserError
from ascjax.files import is_new
from ascjax.runs import experiment
from ascjax.runs.experiment import Report
from ascjax.runs.folder import RunResults, Seconds, check_workdir, read_results, read_run
from ascjax.runs.info import RunInfo
from ascjax.scoring.clusters import by_location, known, located
from ascjax.scoring.metrics import FoldSummary, pool_folds
from ascjax.signals import StopRequest

FOLDS_FORMAT = 3


@dataclass(frozen=True)
class PlannedRun:
    """A run with its name in messages, its config and its folder; trained or not."""

    name: str
    config: ConfigDict
    path: Path

    @property
    def finished(self) -> bool:
        """Whether it has been trained and tested."""
        return (self.path / "results.json").exists()


def by_fold(run: PlannedRun, folds: Sequence[int]) -> list[PlannedRun]:
    """Returns the run on each of the folds of its set, in the folders fold1, fold2, ...

    Raises:
      UserError: the set has one fold only.
    """
    if len(folds) < 2:
        raise UserError(
            f"--folds=all: {run.config.data.root} has fold {folds[0]} only; leave --folds out"
        )
    runs = []
    for fold in folds:
        config = run.config.copy_and_resolve_references()
        config.data.fold = fold
        runs.append(PlannedRun(f"{run.name}, fold {fold}", config, run.path / f"fold{fold}"))
    return runs


def train(
    runs: Sequence[PlannedRun], report: Report, then: Callable[[], Any] = lambda: None
) -> None:
    """Trains and tests the runs that aren't finished; a failed run doesn't end the others.

    Args:
      runs: in this order.
      report: see `experiment.train`.
      then: called after each run that was trained.

    Raises:
      UserError: a folder is not its run's, or runs failed; each was reported as it happened.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    failed = []
    with StopRequest() as stop:
        for label, run in unfinished(runs):
            stop.check(f"before {label}")
            tqdm.write(f"{label}, in {run.path}")
            try:
                experiment.train(run.config, run.path, report)
            except UserError as error:
                tqdm.write(f"{label} failed: {error}")
                failed.append(run.name)
                continue
            # Compiled programs hold memory that the next run may need.
            jax.clear_caches()
            then()
    check_failed(failed, runs)


def unfinished(runs: Sequence[PlannedRun]) -> Iterator[tuple[str, PlannedRun]]:
    """Yields the runs still to be trained, each with its label; says which are finished.

    Raises:
      UserError: see `check_folder`, which looks at all of them first.
    """
    for run in runs:
        check_folder(run)
    for number, run in enumerate(runs, start=1):
        label = f"run {number} of {len(runs)}: {run.name}"
        if run.finished:
            tqdm.write(f"{label} is finished")
        else:
            yield label, run


def check_folder(run: PlannedRun) -> None:
    """Raises UserError if a run that is already there is damaged or of another config."""
    if (run.path / "config.json").exists():
        check_workdir(run.path, run.config.to_dict())
    elif run.path.exists():
        is_new(run.path, "config.json", hint="move them away")
    if run.finished:
        read([run])


def check_failed(failed: Sequence[str], runs: Sequence[PlannedRun]) -> None:
    """Raises UserError if runs failed; ``failed`` are their names."""
    if failed:
        raise UserError(
            f"{len(failed)} of {len(runs)} runs failed, for the reasons given above: "
            f"{'; '.join(failed)}"
        )


@dataclass(frozen=True)
class Folds(FoldSummary):
    """folds.json: results pooled over the folds of a set."""

    format: int = FOLDS_FORMAT


def train_folds(
    config: ConfigDict, workdir: Path, report: Report, trainer: Callable[..., None] = train
) -> tuple[Folds, list[Path]]:
    """Trains and tests every fold of a set, pools them and writes folds.json.

    Args:
      config: of every fold.
      workdir: where their folders are made.
      report: see `experiment.train`.
      trainer: `train`, or what does the same elsewhere.

    Returns:
      The pooled results and the folders of the runs.

    Raises:
      UserError: the set has one fold only, ``workdir`` is itself a run, or runs failed.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    setups.check(config)
    if config.protocol == "all":
        raise UserError(
            "--folds=all: the protocol all trains on every recording, whatever the fold; leave one "
            "of both out"
        )
    if (workdir / "config.json").exists():
        raise UserError(f"--workdir={workdir}: holds a run; choose another folder for --folds=all")
    with StopRequest() as stop:
        numbers = list(setups.catalogue(config, stop).folds)
        stop.check("before the first fold")
    runs = by_fold(PlannedRun(config.model.trunk, config, workdir), numbers)
    trainer(runs, report)
    folds = Folds(**vars(read(runs).summary))
    records.write(workdir / "folds.json", folds)
    return folds, [run.path for run in runs]


@dataclass(frozen=True)
class Outcome:
    """Results of a run, or of its runs on every fold taken together.

    Attributes:
      info: run.json of the first.
      summary: pooled over folds.
      recordings: names of those tested.
      locations: where each was made; empty if that isn't known of each.
      seen: whether each one's device was trained on, ``seen`` or ``unseen``; empty if unknown.
      right: whether each one's scene was predicted.
      seconds: of all.
    """

    info: RunInfo
    summary: FoldSummary
    recordings: np.ndarray
    locations: tuple[str, ...]
    seen: tuple[str, ...]
    right: Bool[np.ndarray, " recording"]
    seconds: Seconds


def read(runs: Sequence[PlannedRun]) -> Outcome:
    """Returns the pooled results of the finished runs of all folds, or of the only run.

    Raises:
      UserError: one is damaged; the message names the file.
    """
    by_fold = {run.config.data.fold: read_results(run.path) for run in runs}
    results = list(by_fold.values())
    infos = [read_run(run.path) for run in runs]
    right = np.concatenate([each.right for each in results])
    locations = tuple(place for each in results for place in each.decisions.location)
    if len(locations) != len(right) or not known(locations):
        locations = ()
    devices, seen = _devices(infos, results)
    summary = pool_folds(
        {fold: each.accuracy for fold, each in by_fold.items()},
        {fold: each.log_loss for fold, each in by_fold.items()},
        by_location(right, locations),
        [each.by_device for each in results],
        [each.by_seen for each in results],
        [each.by_scene for each in results],
        [each.loss_by_scene for each in results],
    )
    if locations and devices:
        by_device = located(summary.by_device, devices, right, locations)
        summary = replace(summary, by_device=by_device)
    if locations and seen:
        summary = replace(summary, by_seen=located(summary.by_seen, seen, right, locations))
    return Outcome(
        info=infos[0],
        summary=summary,
        recordings=np.concatenate([each.decisions.recording for each in results]),
        locations=locations,
        seen=seen,
        right=right,
        seconds=Seconds(
            train=sum(each.seconds.train for each in results),
            test=sum(each.seconds.test for each in results),
        ),
    )


def _devices(
    infos: Sequence[RunInfo], results: Sequence[RunResults]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns each tested recording's device, and whether that was trained on; () if unknown."""
    count = sum(each.recordings for each in results)
    devices = tuple(device for each in results for device in each.decisions.device)
    seen = tuple(
        kind
        for info, each in zip(infos, results, strict=True)
        for kind in each.decisions.seen(info.devices)
    )
    return devices if len(devices) == count else (), seen if len(seen) == count else ()
