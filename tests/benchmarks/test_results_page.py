import copy
import json
from dataclasses import replace

import pytest

from ascjax.errors import UserError
from benchmarks import measurements, results

SPREAD = {"low": 1.0, "median": 1.16, "high": 1.2}
RUN = {
    "machine": "laptop",
    "date": "2026-01-31",
    "command": "run it",
    "cases": {"a": SPREAD},
    "note": "Busy.",
}
GOAL = {
    "area": "Speed",
    "name": "ratio",
    "unit": "×",
    "at_least": 1.1,
    "note": "of two.",
    "runs": [RUN],
}
ROW = {"set": "clips", "network": "net", "total": 4, "correct": [3, 4]}
OWN = {"machine": "laptop", "date": "2026-01-31", "command": "train it"}
DATA = {"machines": {"laptop": "two cores"}, "goals": [GOAL], "accuracies": [ROW | OWN]}


def load(tmp_path, data):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    return measurements.load(path)


def changed(*keys, value):
    """DATA with the entry at ``keys`` replaced."""
    data = copy.deepcopy(DATA)
    entry = data
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    return data


def test_committed_page_is_what_the_json_gives():
    results.check_page(results.render(measurements.load()))


def test_every_run_has_a_machine_a_command_and_a_date_if_measured():
    loaded = measurements.load()
    page = results.render(loaded)
    for goal in loaded.goals:
        assert goal.runs, goal.name
        for run in goal.runs:
            assert run.machine in loaded.machines
            assert (run.date is None) == all(value is None for value in run.cases.values())
            assert f". {run.machine}, {run.date or 'not run yet'}: `{run.command}`." in page


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.1, True), (1.09, False), (SPREAD, True), (None, None)]
)
def test_a_goal_is_met_by_the_median(value, verdict):
    goal = measurements.Goal("Speed", "ratio", [], at_least=1.1)
    assert goal.met(value) is verdict
    assert replace(goal, at_least=None, at_most=1.1).met(1.2) is False
    assert replace(goal, at_least=None).met(1.2) is None


def test_page_has_values_verdicts_intervals_and_commands(tmp_path):
    page = results.render(load(tmp_path, DATA))
    assert "| ratio | ≥ 1.1 × | a | 1.16 [1.00–1.20] met (1) |" in page
    assert "| Speed: ratio | ≥ 1.1 × | 1.16 | laptop | 2026-01-31 | 1 | 0 | 0 |" in page
    assert "1. laptop, 2026-01-31: `run it`. Busy." in page
    assert "\nratio: of two.\n" in page
    # Wilson's interval of 3.5 in 4 by hand: centre 0.6913, half width 0.2955.
    assert "| 3, 4 of 4 | 87.5 ± 17.7 | 39.6–98.7 |  | (2) |" in page


def test_what_has_not_been_run_is_unmeasured(tmp_path):
    run = {**RUN, "date": None, "cases": {"a": None}}
    page = results.render(load(tmp_path, changed("goals", 0, "runs", value=[run])))
    assert "| a | unmeasured (1) |" in page
    assert "| 0 | 0 | 1 |" in page
    assert "laptop, not run yet: `run it`." in page


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((1.1, 1.16), ["1.10", "1.16"]),
        ((5122,), ["5,122"]),
        ((9.5e-7,), ["9.5e-7"]),
        ((0.99312345, 1.0), ["0.993", "1.000"]),
    ],
)
def test_numbers_have_three_digits_and_as_many_decimals_each(values, texts):
    assert results.format_numbers(*values) == texts


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("goals", 0, "at_lest"), 1, "at_lest"),
        (("goals", 0, "runs", 0, "machine"), "desktop", "desktop"),
        (("goals", 0, "runs", 0, "date"), "31 January", "31 January"),
        (("goals", 0, "runs", 0, "date"), None, "a date exactly where"),
        (("goals", 0, "runs", 0, "command"), "", "expected the command"),
        (("goals", 0, "runs", 0, "cases"), {"a": None}, "a date exactly where"),
        (("goals", 0, "runs", 0, "cases"), {"a": 1, "b": None}, "all cases"),
        (("goals", 0, "runs", 0, "cases"), {"a": {"low": 1, "high": 2}}, "median"),
        (("goals", 0, "runs", 0, "cases"), {"a": {**SPREAD, "high": 1}}, "median <= high"),
        (("goals", 0, "runs"), [RUN, RUN], "one value of a case"),
        (("goals",), [{}], "expected a key 'runs'"),
        (("accuracies", 0, "correct"), [5], "expected 0 to 4"),
        (("accuracies", 0, "correct"), [], "a date exactly where"),
        (("accuracies", 0), ROW, "expected one of"),
    ],
)
def test_malformed_entries_are_refused(tmp_path, keys, value, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, changed(*keys, value=value))


def test_check_fails_on_an_edited_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "PAGE", tmp_path / "RESULTS.md")
    with pytest.raises(SystemExit, match=r"error: .*run python -m benchmarks\.results"):
        results.main(["--check"])
    results.main([])
    results.main(["--check"])
    with results.PAGE.open("a") as page:
        page.write("by hand\n")
    with pytest.raises(SystemExit, match="error: "):
        results.main(["--check"])
