"""Several runs, one after the other in this process: the folds of a set, the rows of a sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax.errors import UserError
from ascjax.files import write_json
from ascjax.report.text import folds_table
from ascjax.runs import experiment, folder
from ascjax.scoring import metrics
from ascjax.setup import builders
from ascjax.signals import StopRequest

FOLDS_FORMAT = 1


@dataclass(frozen=True)
class Run:
    """One of several runs: what it is called, its config and its folder."""

    name: str
    config: ConfigDict
    path: Path

    @property
    def finished(self) -> bool:
        """Whether it has been trained and tested."""
        return (self.path / "results.json").exists()


def by_fold(run: Run, folds: Sequence[int]) -> list[Run]:
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
        runs.append(Run(f"{run.name}, fold {fold}", config, run.path / f"fold{fold}"))
    return runs


def train(runs: Sequence[Run], then: Callable[[], Any] = lambda: None) -> None:
    """Trains and tests what isn't finished; one that fails doesn't keep the others from it.

    Args:
      runs: in this order.
      then: called after each that was trained.

    Raises:
      UserError: runs failed; said of each as it happened.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    failed = []
    with StopRequest() as stop:
        for number, run in enumerate(runs, start=1):
            words = f"run {number} of {len(runs)}: {run.name}"
            if run.finished:
                tqdm.write(f"{words} is finished")
                continue
            stop.check(f"before {words}")
            tqdm.write(f"{words}, in {run.path}")
            try:
                experiment.train_and_evaluate(run.config, run.path)
            except UserError as error:
                tqdm.write(f"{words} failed: {error}")
                failed.append(run.name)
                continue
            # Compiled programs hold memory that the next run may need.
            jax.clear_caches()
            then()
    if failed:
        raise UserError(
            f"{len(failed)} of {len(runs)} runs failed, for the reasons given above: "
            f"{'; '.join(failed)}"
        )


def train_folds(config: ConfigDict, workdir: Path) -> str:
    """Trains and tests every fold of a set and writes folds.json.

    Returns:
      The table of the folds, as text.

    Raises:
      UserError: the set has one fold only, ``workdir`` is itself a run, or runs failed.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    builders.check(config)
    if (workdir / "config.json").exists():
        raise UserError(f"--workdir={workdir}: holds a run; choose another folder for --folds=all")
    with StopRequest() as stop:
        dataset = builders.load_dataset(config, stop)
        stop.check("before the first fold")
    folds = by_fold(Run(config.model.trunk, config, workdir), dataset.folds)
    train(folds)
    summary = read(folds).summary
    write_json(workdir / "folds.json", {"format": FOLDS_FORMAT, **summary})
    return folds_table(summary)


@dataclass(frozen=True)
class Outcome:
    """What a run, or a run on every fold, came to.

    Attributes:
      about: its run.json.
      summary: of its folds, as `metrics.over_folds`.
      recordings: names of those tested.
      right: whether each was recognised.
      seconds: spent on ``train`` and on ``test``.
    """

    about: dict[str, Any]
    summary: dict[str, Any]
    recordings: np.ndarray
    right: Bool[np.ndarray, " recording"]
    seconds: dict[str, float]


def read(runs: Sequence[Run]) -> Outcome:
    """Returns what the finished run of each fold (or the only one) came to, taken together.

    Raises:
      UserError: one is damaged; the message names the file.
    """
    results = [folder.read_results(run.path) for run in runs]
    return Outcome(
        about=folder.read_run(runs[0].path),
        summary=metrics.over_folds(
            {run.config.data.fold: each for run, each in zip(runs, results, strict=True)}
        ),
        recordings=np.concatenate([each["decisions"]["recording"] for each in results]),
        right=np.concatenate([metrics.recognised(each) for each in results]),
        seconds={
            what: sum(each["seconds"][what] for each in results) for what in ("train", "test")
        },
    )
