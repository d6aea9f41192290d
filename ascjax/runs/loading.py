"""Loads classifiers: from a run, from the folds of a set, from what comes with the package."""

import os
import sys
from pathlib import Path

from ascjax.errors import UserError
from ascjax.files import as_path
from ascjax.runs.predictor import Classifier
from ascjax.runs.run import Run

SHIPPED = Path(__file__).parents[1] / "shipped"
# Each run's folder has one of these from its start on.
_OF_A_RUN = ("results.json", "run.json", "config.json")


def load(run: str | os.PathLike[str]) -> Classifier:
    """Loads a classifier from the folder of a finished run, or of the runs of a set's folds.

    Args:
      run: the folder; or the name of a network that comes with the package, such as ``esc10``.

    Raises:
      UserError: there is no such run, it may not be entered, isn't finished, is damaged or of
        another format, or folds that don't fit together.
    """
    folder = as_path(run)
    if not os.path.exists(folder) and os.path.isfile(SHIPPED / folder / "results.json"):
        folder = SHIPPED / folder
    folds = sorted(path.parent for path in folder.glob("fold*/config.json"))
    if folds and not os.path.exists(folder / "results.json"):
        return Classifier(_same(tuple(map(Run.open, folds))))
    if not any(os.path.exists(folder / name) for name in _OF_A_RUN):
        raise UserError(
            f"{folder}: expected the folder of a finished run or of its folds, or the name of a "
            f"network that comes with ascjax ({', '.join(shipped()) or 'none'})"
        )
    return Classifier((Run.open(folder),))


def shipped() -> list[str]:
    """Returns the names of the networks that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/results.json"))


def _same(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Returns the runs of folds, which take the same input and give the same scenes."""
    for other in runs[1:]:
        for name in ("scenes", "channels", "fragments", "overlap", "duration_s", "front_end"):
            if getattr(other.info, name) != getattr(runs[0].info, name):
                raise UserError(
                    f"{other.path}: its {name} aren't those of {runs[0].path}; folds that are "
                    "fused must agree"
                )
    return runs


DEFAULT_RUN = "esc10"


def open_classifier(run: str | None) -> Classifier:
    """Loads a run, or the shipped network and says so; JAX isn't imported yet."""
    # Of a small network's programs each compiles in less than the second from which JAX keeps
    # them, but all of them take longer than the rest of the answer.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if run is None:
        print(f"no --run: the network {DEFAULT_RUN} that comes with ascjax", file=sys.stderr)
    return load_or_shipped(run)


def load_or_shipped(run: str | None) -> Classifier:
    """Loads a run, or without one the shipped network, also where a folder has its name."""
    return load(SHIPPED / DEFAULT_RUN if run is None else run)
