import hypothesis.strategies as st
import numpy as np
import pytest
from fake_run import write_fake_run
from hypothesis import given, settings

from ascjax.report.text import (
    SYNTHETIC_NOTE,
    accuracies,
    commonest_share,
    distinct,
    folds_table,
    interval,
    percent,
    size,
    table,
    worst_confusions,
)
from ascjax.runs.folder import read_results
from ascjax.scoring.metrics import pool_folds
from ascjax.scoring.rates import proportion
from ascjax.scoring.results import score
from ascjax.words import counted, duration


def results_of(predictions, labels, scenes):
    """Results of one channel and one fragment that predict these scenes with certainty."""
    posteriors = np.eye(len(scenes), dtype=np.float32)[predictions][:, None, None]
    return score(
        posteriors,
        np.array(labels),
        names=[f"{index}.wav" for index in range(len(labels))],
        scenes=scenes,
        channels=("average",),
    )


def test_numbers_in_words():
    assert percent(1959 / 2518) == "77.8 %"
    assert percent(None) == interval(None) == "–"
    assert interval([0.7612, 0.7938]) == "76.1–79.4 %"
    assert (counted(1, "scene"), counted(2518, "recording")) == ("1 scene", "2,518 recordings")
    said = [duration(seconds) for seconds in (0.0, 50.4, 303.0, 7500.0)]
    assert said == ["0 s", "50 s", "5 min 3 s", "2 h 5 min"]


def test_long_names_are_cut_where_they_stay_apart():
    assert distinct(["bus", "tram"], 4) == ["bus", "tram"]
    assert distinct(["bus", "tramway stop"], 7) == ["bus", "tra…top"]
    # In the middle they are equal, and at the end.
    names = ["abXcccccccccccyz", "abYcccccccccccyz"]
    short = distinct(names, 6)
    assert len(set(short)) == 2
    assert {len(name) for name in short} == {6}


@given(
    st.lists(st.text("ab", min_size=1, max_size=30), min_size=1, max_size=20),
    st.integers(8, 30),
)
@settings(deadline=None)
def test_cut_names_fit_and_stay_apart(names, max_length):
    short = distinct(names, max_length)
    assert all(len(name) <= max_length for name in short)
    assert len(set(short)) == len(set(names)) or len(set(short)) == len(short)
    assert distinct(names, 30) == names


def test_sizes():
    assert (size(2048), size(59_400_000)) == ("2.0 kB", "59.4 MB")


def test_worst_confusion_and_commonest_scene():
    results = results_of([0, 1, 2, 2, 1, 2], [0, 0, 0, 0, 1, 2], ("bus", "metro", "tram"))
    assert worst_confusions(results) == {"bus": ("tram", 2), "metro": None, "tram": None}
    assert commonest_share(results) == 4 / 6
    assert results.confusion[0] == (1, 1, 2), "the results themselves must stay as they were"


def test_folds_table():
    summary = pool_folds({1: proportion(7, 10), 2: proportion(9, 10)}, {1: 0.5, 2: 0.5})
    assert folds_table(summary) == (
        "                  accuracy  95 % interval  correct  of\n"
        "fold 1              70.0 %    39.7–89.2 %        7  10\n"
        "fold 2              90.0 %    59.6–98.2 %        9  10\n"
        "all folds pooled    80.0 %    58.4–91.9 %       16  20\n"
        "mean of folds       80.0 %\n"
        "their deviation     14.1 %\n"
        "log loss / nats      0.500"
    )


def test_the_interval_by_location_stands_below_wilsons(tmp_path):
    results = write_fake_run(tmp_path)
    lines = table(results).splitlines()
    row = lines[lines.index(next(line for line in lines if line.startswith("all fused"))) + 1]
    places = results.by_location
    assert row.split("  ")[1] == f"resampled by {places.locations} locations"
    assert row.endswith(interval(places.interval_95))
    pooled = folds_table(pool_folds({1: results.accuracy}, {1: 0.5}, places))
    assert f"resampled by {places.locations} locations" in pooled


def test_whole_table():
    results = results_of([0, 1, 1, 1], [0, 0, 0, 1], ("metro_station", "bus"))
    assert table(results).splitlines() == [
        "4 recordings of 2 scenes, 1 channel × 1 fragment; "
        "fused by mean over fragments, mean over channels",
        "",
        "                            accuracy  95 % interval  correct  of",
        "all fused                     50.0 %    15.0–85.0 %        2   4",
        "mean over scenes              66.7 %",
        "always the commonest scene    75.0 %",
        "guessing                      50.0 %",
        "log loss / nats               17.269",
        "log loss, mean over scenes    11.513",
        "",
        "scene          accuracy  95 % interval  correct  of  most often taken for",
        "metro station    33.3 %     6.1–79.2 %        1   3  bus (2)",
        "bus             100.0 %   20.7–100.0 %        1   1",
    ]


def test_numbers_stand_under_their_heads(tmp_path):
    lines = table(write_fake_run(tmp_path, recordings=2518)).splitlines()
    lines = [line for line in lines if "resampled by" not in line]
    blocks = [line for line in lines if " % " in line or line.startswith(("scene", "  "))]
    ends = {line.find(" %") for line in blocks if not line.startswith(("scene", " " * 9))}
    assert len({line.index("accuracy") for line in blocks if "accuracy" in line}) == 2
    assert len(ends) == 2, "one column of accuracies in each of the two blocks"


def test_synthetic_results_say_so_before_any_number(tmp_path):
    results = write_fake_run(tmp_path)
    assert table(results, synthetic=True).startswith(SYNTHETIC_NOTE)
    assert "ynthetic" not in table(results)


def test_a_table_of_results_read_back_is_the_same(tmp_path):
    results = write_fake_run(tmp_path)
    assert table(read_results(tmp_path)) == table(results)


@pytest.mark.parametrize("recordings", [1, 3])
def test_scenes_without_recordings_have_a_dash(tmp_path, recordings):
    lines = table(write_fake_run(tmp_path, recordings=recordings)).splitlines()
    assert lines[-1].split() == ["tram", "–", "–", "0", "0"]


def test_accuracies_stand_below_each_other_by_name(tmp_path):
    one, other = (write_fake_run(tmp_path, recordings=number, seed=number) for number in (60, 7))
    named = {"a longer name": one.accuracy, "other": other.accuracy}
    lines = accuracies(named).splitlines()
    assert lines[0].split() == ["accuracy", "95", "%", "interval", "correct", "of"]
    assert lines[1].startswith("a longer name ")
    assert [line.split()[-2:] for line in lines[1:]] == [
        [str(each.correct), str(each.total)] for each in named.values()
    ]
    assert len({line.index(" %") for line in lines[1:]}) == 1
