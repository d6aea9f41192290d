"""RESULTS.md, the page of all measurements, made from results.json.

Run: python -m benchmarks.results [--check]

Rewrites the page; with --check it fails if the committed page differs from what the JSON gives.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ascjax.errors import UserError
from ascjax.scoring.metrics import pool_seeds
from benchmarks import measurements
from benchmarks.measurements import Accuracy, Goal, Results, Run, Value

PAGE = Path(__file__).with_name("RESULTS.md")

INTRODUCTION = """\
# Results

Made from `results.json` by `python -m benchmarks.results`: edit that file, not this page. To add a
measurement, run its command on an idle machine and put the values (the programs' `--out=FILE` has
medians and quartiles in this form) in place of those they supersede, with machine and date. Then
run the program and commit both files. What was tried, kept and dropped is in
[DECISIONS.md](DECISIONS.md); earlier measurements are in this file's history.

A value is a median, with quartiles in brackets where known, and meets a goal by its median. Numbers
in parentheses refer to the [runs](#runs), which have date, machine and command."""

ACCURACIES = """\
"Correct" is by seed. The accuracy is the mean over seeds, with their deviation; the interval is
Wilson's at that many test recordings and says nothing about other seeds. It takes clips as
independent, while ESC-10's 400 come from 304 source recordings: from a bootstrap over these, which
`ascjax train --folds=all` prints, it is up to 1.2 points wider on either side where it was looked
at, and p-values are larger, those of the probes 1 to 75 times. Chance on ESC-10 is 10 %.
"Plain" is the recipe of the PyTorch reference: floor 1e-5 under the logarithm, no shifts in time,
15 epochs. Figures with a source in place of a run are quoted from there."""

Key = tuple[str, str | None, str]


def render(results: Results) -> str:
    """Returns the page."""
    numbers = _numbers_of_runs(results)
    areas = dict.fromkeys(goal.area for goal in results.goals)
    parts = [INTRODUCTION, "## State", _state(results.goals)]
    for area in areas:
        goals = [goal for goal in results.goals if goal.area == area]
        bounded = [goal for goal in goals if goal.bounded]
        costs = [goal for goal in goals if not goal.bounded]
        parts.append(f"## {area}")
        parts += [_by_case(bounded, numbers)] if bounded else []
        parts += [_costs(costs, numbers)] if costs else []
        parts += [f"{goal.name}: {goal.note}" for goal in goals if goal.note]
    parts += ["## Accuracies", ACCURACIES, _accuracies(results.accuracies, numbers)]
    parts += ["## Machines", _lines(f"- {name}: {it}" for name, it in results.machines.items())]
    parts += ["## Runs", _runs(results, numbers)]
    return "\n\n".join(parts) + "\n"


def _state(goals: Iterable[Goal]) -> str:
    rows = []
    for goal in goals:
        if not goal.bounded:
            continue
        values = [value for run in goal.runs for value in run.cases.values()]
        verdicts = [goal.met(value) for value in values]
        middles = [measurements.median(value) for value in values if value is not None]
        latest = format_numbers(min(middles), max(middles)) if middles else []
        rows.append(
            [
                f"{goal.area}: {goal.name}",
                _bound(goal),
                " to ".join(dict.fromkeys(latest)),
                ", ".join(dict.fromkeys(run.machine for run in goal.runs if run.date)),
                max((run.date for run in goal.runs if run.date), default=""),
                *(str(verdicts.count(verdict)) for verdict in (True, False, None)),
            ]
        )
    head = ["quantity", "goal", "latest", "measured on", "last", "met", "missed", "unmeasured"]
    return _table(head, rows)


def _by_case(goals: Sequence[Goal], numbers: Mapping[Key, int]) -> str:
    """A row for each goal and case, a column for each machine."""
    machines = list(dict.fromkeys(run.machine for goal in goals for run in goal.runs))
    rows = []
    for goal in goals:
        cells: dict[str, dict[str, str]] = {}
        for run in goal.runs:
            for case, value in run.cases.items():
                cells.setdefault(case, {})[run.machine] = _cell(goal, run, value, numbers)
        for index, (case, by_machine) in enumerate(cells.items()):
            first = [goal.name, _bound(goal)] if index == 0 else ["", ""]
            rows.append([*first, case, *(by_machine.get(name, "") for name in machines)])
    return _table(["quantity", "goal", "case", *machines], rows)


def _costs(goals: Iterable[Goal], numbers: Mapping[Key, int]) -> str:
    """A row for each run of a quantity without a bound."""
    rows = []
    for goal in goals:
        for run in goal.runs:
            values = "; ".join(f"{case}: {_value(value)}" for case, value in run.cases.items())
            rows.append([goal.name, goal.unit, values, f"{run.machine} ({numbers[_key(run)]})"])
    return _table(["quantity", "unit", "latest", "machine"], rows)


def _cell(goal: Goal, run: Run, value: Value, numbers: Mapping[Key, int]) -> str:
    verdict = {True: " met", False: " **missed**", None: ""}[goal.met(value)]
    return f"{_value(value)}{verdict} ({numbers[_key(run)]})"


def _accuracies(rows: Iterable[Accuracy], numbers: Mapping[Key, int]) -> str:
    made = []
    for row in rows:
        percent = interval = ""
        if row.correct:
            found = pool_seeds(row.correct, row.total)
            percent = f"{100 * found.mean:.1f}"
            if found.deviation is not None:
                percent += f" ± {100 * found.deviation:.1f}"
            interval = "–".join(f"{100 * bound:.1f}" for bound in found.interval_95)
        correct = ", ".join(f"{count:,}" for count in row.correct)
        of = f"{correct} of {row.total:,}" if correct else "unmeasured"
        origin = row.source or f"({numbers[_key(row)]})"
        network = ", ".join(filter(None, [row.network, row.recipe]))
        made.append([row.set, network, row.start, of, percent, interval, row.caveat, origin])
    head = ["set", "network, recipe", "start", "correct", "accuracy %", "95 %", "caveat", "from"]
    return _table(head, made)


def _runs(results: Results, numbers: Mapping[Key, int]) -> str:
    notes: dict[Key, list[str]] = {key: [] for key in numbers}
    for goal in results.goals:
        for run in goal.runs:
            if run.note and run.note not in notes[_key(run)]:
                notes[_key(run)].append(run.note)
    return _lines(
        " ".join([f"{number}. {machine}, {date or 'not run yet'}: `{command}`.", *notes[key]])
        for key, number in numbers.items()
        for machine, date, command in [key]
    )


def _numbers_of_runs(results: Results) -> dict[Key, int]:
    runs: list[Run | Accuracy] = [run for goal in results.goals for run in goal.runs]
    runs += [row for row in results.accuracies if not row.source]
    return {key: number for number, key in enumerate(dict.fromkeys(map(_key, runs)), 1)}


def _key(run: Run | Accuracy) -> Key:
    return run.machine, run.date, run.command


def _bound(goal: Goal) -> str:
    for sign, bound in (("≥", goal.at_least), ("≤", goal.at_most)):
        if bound is not None:
            return f"{sign} {format_numbers(bound)[0]} {goal.unit}".strip()
    return ""


def _value(value: Value) -> str:
    if value is None:
        return "unmeasured"
    if not isinstance(value, Mapping):
        return format_numbers(value)[0]
    if "median" not in value:
        return "–".join(format_numbers(value["low"], value["high"]))
    return "{} [{}–{}]".format(*format_numbers(value["median"], value["low"], value["high"]))


def format_numbers(*values: float) -> list[str]:
    """Three significant digits, as many decimals in each: 1.10, 1.16; 5,122; 9.5e-7."""
    short = [f"{value:.3g}" for value in values]
    if any("e" in text for text in short):
        return [
            f"{value:,.0f}" if abs(value) >= 1 else text.replace("e-0", "e-")
            for value, text in zip(values, short, strict=True)
        ]
    decimals = max(len(text.partition(".")[2]) for text in short)
    return [f"{value:.{decimals}f}" for value in values]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _lines(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def check_page(text: str) -> None:
    """Raises UserError unless the page on disk is ``text``."""
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        raise UserError(
            f"{PAGE} is not what {measurements.DATA.name} gives; "
            "run python -m benchmarks.results and commit both"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the page, or checks the one that is there."""
    parser = argparse.ArgumentParser(prog="benchmarks.results", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it differs")
    options = parser.parse_args(argv)
    try:
        text = render(measurements.load())
        if options.check:
            check_page(text)
        else:
            PAGE.write_text(text, encoding="utf-8")
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
