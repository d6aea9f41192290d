"""Runs beside each other: accuracy, interval, time, and McNemar's test against the first.

Run: python -m benchmarks.transfer random=DIR imagenet=DIR ... [--paper=imagenet:+8.7,...]
     [--out=FILE.json]

DIR is the folder of a finished run, or of those of all folds (`ascjax train --folds=all`); of folds
that aren't all finished yet, those count that are. Two are compared on the recordings that both
were tested on. Where locations are known, interval and test are also given over them: recordings
of one location are not independent. --paper gives the difference that the paper reports, in points,
to stand beside ours.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ascjax import cli
from ascjax.errors import UserError
from ascjax.runs.run import Run
from ascjax.scoring.clusters import by_location, known, mcnemar_clustered
from ascjax.scoring.rates import wilson_interval
from ascjax.scoring.significance import mcnemar
from benchmarks import measure


def _named(word: str) -> tuple[str, Path]:
    name, equals, folder = word.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=DIR, got {word}")
    return name, Path(folder)


def _differences(word: str) -> dict[str, float]:
    pairs = (pair.partition(":") for pair in word.split(","))
    return {name: float(points) for name, _, points in pairs}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("transfer", __doc__)
    parser.add_argument("runs", nargs="+", type=_named, metavar="NAME=DIR", help="finished runs")
    parser.add_argument("--paper", type=_differences, default={}, metavar="NAME:POINTS,...",
                        help="the paper's difference from the first")  # fmt: skip
    return parser.parse(argv)


def read(folder: Path) -> list[Run]:
    """Returns the finished run in a folder, or the finished ones of its folds."""
    folders = sorted(folder.glob("fold*")) or [folder]
    finished = [Run.open(each) for each in folders if (each / "results.json").exists()]
    if not finished:
        raise UserError(f"{folder}: expected a finished run, or those of folds, found none")
    return finished


def right(runs: Sequence[Run]) -> dict[str, bool]:
    """Returns by recording whether its scene was predicted."""
    return {
        name: bool(is_right)
        for run in runs
        for name, is_right in zip(run.results.decisions.recording, run.results.right, strict=True)
    }


def places(runs: Sequence[Run]) -> dict[str, str]:
    """Returns the location of each recording; empty where the runs know none."""
    decisions = [run.results.decisions for run in runs]
    return {
        name: location
        for each in decisions
        for name, location in zip(each.recording, each.location, strict=bool(each.location))
    }


def row(name: str, runs: Sequence[Run], first: dict[str, bool], paper: float | None) -> measure.Row:
    """Returns a system's row of the table."""
    ours, location = right(runs), places(runs)
    correct, total = sum(ours.values()), len(ours)
    low, high = wilson_interval(correct, total)
    common = sorted(ours.keys() & first.keys())
    if not common:
        raise UserError(f"{name}: no recording was tested by it and by the first")
    a, b = (np.array([each[key] for key in common]) for each in (ours, first))
    test = mcnemar(a, b)
    where = [location.get(key, "") for key in ours]
    over = by_location(np.array(list(ours.values())), where)
    clustered = known(where) and mcnemar_clustered(a, b, [location[key] for key in common])
    return {
        "run": name,
        "folds": len(runs),
        "correct": correct,
        "of": total,
        "accuracy %": round(100 * correct / total, 1),
        "95 %": _interval((low, high)),
        **({"95 % by location": _interval(over.interval_95)} if over else {}),
        "training min": round(sum(run.results.seconds.train for run in runs) / 60, 1),
        "points": round(100 * (a.mean() - b.mean()), 2),
        "on": len(common),
        "alone right": test.only_a,
        "first alone": test.only_b,
        "McNemar's p": float(f"{test.p:.2g}"),
        **({"p by location": float(f"{clustered.p:.2g}")} if clustered else {}),
        **({} if paper is None else {"paper's points": paper}),
    }


def _interval(bounds: tuple[float, float]) -> str:
    return "–".join(f"{100 * bound:.1f}" for bound in bounds)


def main(options: argparse.Namespace) -> None:
    """Reads, compares, prints and writes."""
    runs = {name: read(folder) for name, folder in options.runs}
    first = right(next(iter(runs.values())))
    rows = [row(name, each, first, options.paper.get(name)) for name, each in runs.items()]
    measure.report("transfer", options, {f"beside {next(iter(runs))}": rows})


if __name__ == "__main__":
    cli.run(main, parse)
