"""Measurements as results.json holds them: typed and checked.

The JSON is edited by hand; `benchmarks.results` makes the page from it.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ascjax.errors import UserError

DATA = Path(__file__).with_name("results.json")
# A number, a median with quartiles as the benchmarks write them, or low and high alone; None where
# nothing has been measured.
Value = float | Mapping[str, float] | None


@dataclass(frozen=True)
class Run:
    """One command on one machine.

    Attributes:
      machine: a key of ``Results.machines``.
      date: ISO 8601; None if it has not been run.
      command: as typed.
      cases: value by what was measured; None if it has not been run.
      note: what a reader must know to judge the values.
    """

    machine: str
    date: str | None
    command: str
    cases: Mapping[str, Value]
    note: str = ""


@dataclass(frozen=True)
class Goal:
    """A quantity, the bound set for it, if any, and the latest run of each case and machine.

    ``note`` qualifies all its values; it is printed beneath the area's table.
    """

    area: str
    name: str
    runs: Sequence[Run]
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def bounded(self) -> bool:
        """Whether there is a bound, which makes the quantity a goal."""
        return self.at_least is not None or self.at_most is not None

    def met(self, value: Value) -> bool | None:
        """Whether the median meets the bound; None without a bound or a value."""
        if value is None or not self.bounded:
            return None
        middle = median(value)
        above = self.at_least is None or middle >= self.at_least
        return above and (self.at_most is None or middle <= self.at_most)


@dataclass(frozen=True)
class Accuracy:
    """Correct decisions of each seed, out of ``total``; without seeds, unmeasured.

    A row has either a machine and command of its own, and a date once it has been run, or the
    ``source`` that it is quoted from.
    """

    set: str
    network: str
    total: int
    correct: Sequence[int]
    start: str = ""
    recipe: str = ""
    caveat: str = ""
    machine: str = ""
    date: str | None = None
    command: str = ""
    source: str = ""


@dataclass(frozen=True)
class Results:
    """Everything on the page; ``machines`` describes each by name."""

    machines: Mapping[str, str]
    goals: Sequence[Goal]
    accuracies: Sequence[Accuracy]


def median(value: float | Mapping[str, float]) -> float:
    """The median of a value that is one or has one."""
    return value["median"] if isinstance(value, Mapping) else value


def load(path: Path = DATA) -> Results:
    """Reads and checks the measurements.

    Raises:
      UserError: a key is unknown or missing, a machine is not described, a date is malformed,
        values and date are not given together, or a case has two values on one machine.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        goals = [
            Goal(**{**goal, "runs": [Run(**run) for run in goal["runs"]]})
            for goal in found["goals"]
        ]
        accuracies = [Accuracy(**row) for row in found["accuracies"]]
        results = Results(found["machines"], goals, accuracies)
        _check(results)
    except KeyError as error:
        raise UserError(f"{path}: expected a key {error}; add it and run again") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}; correct the entry and run again") from error
    return results


def _check(results: Results) -> None:
    for goal in results.goals:
        for run in goal.runs:
            measured = [value is not None for value in run.cases.values()]
            _check_origin(goal.name, run, results.machines, measured=any(measured))
            if not measured or any(measured) != all(measured):
                raise ValueError(f"{goal.name!r}: expected values for all cases of a run, or none")
            for value in run.cases.values():
                if isinstance(value, Mapping):
                    _check_spread(goal, value)
        pairs = [(case, run.machine) for run in goal.runs for case in run.cases]
        if len(set(pairs)) < len(pairs):
            raise ValueError(
                f"{goal.name!r}: expected one value of a case on a machine, the latest"
            )
    for row in results.accuracies:
        name = f"{row.set}, {row.network}"
        if not row.source:
            _check_origin(name, row, results.machines, measured=bool(row.correct))
        if any(not 0 <= correct <= row.total for correct in row.correct):
            raise ValueError(f"{name!r}: expected 0 to {row.total} correct, got {row.correct}")


def _check_spread(goal: Goal, value: Mapping[str, float]) -> None:
    wanted = {"low", "median", "high"} if goal.bounded else {"low", "high"}
    ordered = [value[key] for key in ("low", "median", "high") if key in value]
    if len(ordered) != len(value) or not wanted <= set(value) or ordered != sorted(ordered):
        raise ValueError(f"{goal.name!r}: expected low <= median <= high, got {dict(value)}")


def _check_origin(
    name: str, entry: Run | Accuracy, machines: Mapping[str, str], *, measured: bool
) -> None:
    if entry.machine not in machines:
        raise ValueError(f"{name!r}: expected one of {list(machines)}, got {entry.machine!r}")
    if not entry.command:
        raise ValueError(f"{name!r}: expected the command on {entry.machine}, got none")
    if measured != (entry.date is not None):
        raise ValueError(f"{name!r}: expected a date exactly where there are values")
    if entry.date is not None:
        datetime.date.fromisoformat(entry.date)
