import csv
import io
import json
import re

import pytest

from ascjax.report.predictions import FORMS, Columns, clock
from ascjax.runs.verdict import Prediction, Scored

SCENES = ("metro_station", "park", "=tram")
WINDOW = Scored(2.0, 4.5, {"metro_station": 0.25, "park": 0.65, "=tram": 0.1})
WHOLE = Prediction(0.0, 4.5, WINDOW.scores, source="a.wav", windows=2, note="")
SILENT = Scored(4.5, 5.0, WINDOW.scores, "silence")


def written(form, *rows, **columns):
    made = FORMS[form](Columns(SCENES, **columns))
    return made.header() + "".join(made.row(*row) for row in rows)


def test_tables_align_and_say_why_nothing_is_known():
    lines = written("table", ("a.wav", WHOLE), ("b.wav", SILENT), name_width=5).splitlines()
    assert lines == [
        "file   scene                  score",
        "a.wav  park                  65.0 %",
        "b.wav  unknown (silence)     65.0 %",
    ]


def test_tables_of_windows_runners_up_and_sets():
    columns = {"timeline": True, "by": ("channel",), "top": 2, "set_threshold": 0.8}
    header, row = written("table", ("a", WINDOW), **columns).splitlines()
    names = ["file", "start", "end", "channel", "scene", "score", "next", "score", "set"]
    assert header.split() == names
    cells = ["a", "0:02.0", "0:04.5", "park", "65.0 %", "metro station", "25.0 %"]
    assert re.split("  +", row) == [*cells, "park, metro station"]


def test_csv_has_all_scores_and_no_formulas():
    text = written("csv", ("-a.wav", WHOLE), ("b,c.wav", SILENT), timeline=True)
    first, second = csv.DictReader(io.StringIO(text))
    assert first == {
        "file": "'-a.wav", "start_s": "0.000", "end_s": "4.500", "scene": "park",
        "score": "0.650000", "unknown": "", "metro_station": "0.250000", "park": "0.650000",
        "'=tram": "0.100000",
    }  # fmt: skip
    assert (second["file"], second["scene"], second["unknown"]) == ("b,c.wav", "unknown", "silence")


@pytest.mark.parametrize("name", ["=a", "+a", "-a", "@a", "\ta"])
def test_formula_like_names_are_quoted(name):
    assert written("csv", (name, WHOLE)).splitlines()[1].startswith(f"'{name},")


def test_csv_of_the_largest_scores_and_sets():
    text = written("csv", ("a", WHOLE), top=2, set_threshold=0.8)
    [row] = csv.DictReader(io.StringIO(text))
    assert row["set"] == "park|metro_station"
    assert list(row)[-4:] == ["scene_1", "score_1", "scene_2", "score_2"]
    assert (row["scene_2"], row["score_2"]) == ("metro_station", "0.250000")


def test_json_lines():
    first, second = map(
        json.loads,
        written("json", ("a", WHOLE), ("b", SILENT), top=1, by=("fragment",)).splitlines(),
    )
    assert first == {
        "file": "a", "start_s": 0.0, "end_s": 4.5, "fragment": 0, "scene": "park", "score": 0.65,
        "unknown": None, "scores": {"park": 0.65}, "windows": 2, "note": None,
    }  # fmt: skip
    assert (second["scene"], second["unknown"], "windows" in second) == (
        "unknown",
        "silence",
        False,
    )


def test_labels_of_audacity_and_raven():
    assert written("audacity", ("a", WINDOW), ("a", SILENT)) == (
        "2.000000\t4.500000\tpark 65.0 %\n4.500000\t5.000000\tunknown 65.0 %\n"
    )
    header, row = written("raven", ("a", WINDOW)).splitlines()
    assert header.split("\t")[:5] == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"
    ]  # fmt: skip
    assert row == "1\tSpectrogram 1\t1\t2.000000\t4.500000\tpark\t0.650000"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (62.5, "1:02.5"), (86399.5, "23:59:59.5")],
)
def test_clock(seconds, expected):
    assert clock(seconds) == expected
