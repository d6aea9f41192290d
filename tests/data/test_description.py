import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ascjax.audio.quality import Quality
from ascjax.audio.wave import Info
from ascjax.data import describe_text
from ascjax.data.catalogue import Catalogue
from ascjax.data.choice import choose_rate_and_duration
from ascjax.data.describe import Amount, Parts, describe
from ascjax.data.duplicates import Copies
from ascjax.data.inspection import Inspection
from ascjax.data.listing import Fold, LeftOut, Recording
from ascjax.data.suggestion import suggest

GOOD = Inspection(Quality(0.5, -20.0, 0.0, False, False), 0.0, False, "a", np.zeros(0, np.uint32))
SILENT = dataclasses.replace(GOOD, quality=Quality(0.0, -np.inf, 0.0, True, True), digest="")


def catalogue(num_recordings=20, **more):
    recordings = tuple(
        Recording(
            f"{('bus', 'park')[i % 2]}/{i}.wav", Path(f"{i}.wav"), ("bus", "park")[i % 2],
            f"oslo-{i % 4}", "oslo", "ab"[i % 2],
        )
        for i in range(num_recordings)
    )  # fmt: skip
    half = num_recordings // 2
    first, last = tuple(range(half)), tuple(range(half, num_recordings))
    made = Catalogue(
        Path("set"), "csv", "labels.csv has the columns path and scene", recordings,
        {1: Fold(first, last), 2: Fold(last, first)}, (), (),
    )  # fmt: skip
    return dataclasses.replace(made, **more)


def infos(count=20, rate=16_000, seconds=2.0, columns=1):
    return {index: Info(rate, round(rate * seconds), columns) for index in range(count)}


def test_amounts():
    headers = infos() | {19: Info(48_000, 480_000, 2)}
    made = describe(catalogue(), headers, {})
    assert made.total == Amount("all", 20, 48.0)
    assert made.scenes == (Amount("bus", 10, 20.0), Amount("park", 10, 28.0))
    assert made.cities == (Amount("oslo", 20, 48.0),)
    assert made.devices == (Amount("a", 10, 20.0), Amount("b", 10, 28.0))
    assert [amount.recordings for amount in made.locations] == [5, 5, 5, 5]
    assert made.folds == (Parts(1, 10, 10, 0), Parts(2, 10, 10, 0))
    assert made.sample_rates_hz == (Amount(16_000, 19, 38.0), Amount(48_000, 1, 10.0))
    assert made.columns == (Amount(1, 19, 38.0), Amount(2, 1, 10.0))
    assert made.durations_s == (Amount(2.0, 19, 38.0), Amount(10.0, 1, 10.0))
    assert made.choice == choose_rate_and_duration(headers.values())
    assert not made.inspected


def test_json_has_every_attribute():
    left_out = (LeftOut(".m4a files", 3, "a.m4a"),)
    made = describe(catalogue(left_out=left_out), infos(), {}, inspections={0: GOOD, 1: GOOD})
    read = json.loads(made.to_json())
    assert set(read) == {field.name for field in dataclasses.fields(made)}
    assert read["left_out"] == [
        {"reason": ".m4a files", "count": 3, "example": "a.m4a", "harmless": False}
    ]
    assert read["findings"][-1]["kind"] == "leak"


def test_text_says_what_matters_within_100_columns():
    made = describe(
        catalogue(
            left_out=(LeftOut(".m4a files", 3, "a.m4a"), LeftOut(".txt files", 1, "a.txt", True)),
            notes=("warning: 'audio' looks like no scene: " + "word " * 40,),
        ),
        infos(18) | {18: Info(16_000, 24_000, 1)},
        {"park/19.wav": "19.wav: is no audio file"},
        copies=[Copies("bytes", (0, 10))],
        inspections={0: GOOD, 1: SILENT},
    )
    text = describe_text.text(made)
    for words in (
        "20 recordings, 38 s, 2 scenes, 2 folds, 4 locations, 2 devices, 1 city",
        "layout csv: labels.csv has the columns path and scene",
        "2 folds, each of 10 training and 10 test recordings",
        "Training takes 16,000 Hz and 2 s: all recordings have this rate; 2 s is the most common",
        "- .m4a files (3), e.g. a.m4a",
        "- .txt files (1), e.g. a.txt",
        "19.wav: is no audio file",
        "- leak: files with the same bytes in the training and the test part of folds 1 and 2",
        "- sound: digital silence (1), e.g. park/1.wav",
        "1 recording repeated to fill it",
        "warning: 'audio'",
        "esc10",
    ):
        assert words in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    assert "None" not in text

    brief = describe_text.brief(made)
    assert len(brief) < len(text)
    assert "Training takes 16,000 Hz and 2 s" in brief
    assert "left out: .m4a files (3)" in brief
    assert ".txt" not in brief
    assert "leak: files" in brief
    assert max(map(len, brief.splitlines())) <= 100


def test_text_of_a_set_that_cannot_be_read():
    made = describe(catalogue(), {}, {f"{i}.wav": f"{i}.wav: no audio" for i in range(20)})
    text = describe_text.text(made)
    assert "No recording has a readable header" in text
    assert "… and 10 more" in text
    assert made.choice is None


def test_text_says_what_is_in_no_part_and_how_much_is_not_used():
    folds = {1: Fold(tuple(range(10)), tuple(range(10, 18)))}
    seconds = [2.0] * 11 + [20.0] * 9
    headers = {i: Info(8_000, round(8_000 * length), 1) for i, length in enumerate(seconds)}
    text = describe_text.text(describe(dataclasses.replace(catalogue(), folds=folds), headers, {}))
    words = " ".join(text.split())
    assert "fold training test in neither 1 10 8 2" in words
    assert "warning: more than half of the audio isn't used; windows (window_s) would" in words


def test_text_of_many_scenes_and_durations():
    recordings = tuple(Recording(f"{i}", Path(f"{i}"), f"scene {i:02}") for i in range(50))
    headers = {i: Info(8_000, 8_000 + 80 * i, 1) for i in range(50)}
    made = describe(catalogue(recordings=recordings), headers, {})
    text = describe_text.text(made)
    assert "… and 20 more" in text
    assert "and 45 others" in text
    assert "from 1 s to 1.49 s" in text
    assert "few recordings: scene 00 (1)" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("count", "seconds", "columns", "config", "window_s"),
    [
        (50, 5, 1, "esc10", 0),
        (400, 5, 1, "esc10", 0),
        (400, 10, 2, "vgg_channels", 0),
        (400, 10, 1, "vgg_fragments", 0),
        (400, 3_600, 2, "vgg_channels", 10),
    ],
)
def test_suggested_configs_exist(count, seconds, columns, config, window_s):
    headers = list(infos(count, seconds=seconds, columns=columns).values())
    suggestion = suggest(headers, choose_rate_and_duration(headers))
    assert (suggestion.config, suggestion.window_s) == (config, window_s)
    assert (Path(__file__).parents[2] / "configs" / f"{config}.py").is_file()


def test_windows_of_short_clips_among_long_recordings_lose_neither():
    headers = [*infos(40, seconds=1).values(), *infos(4, seconds=200).values()]
    assert suggest(headers, choose_rate_and_duration(headers)).window_s == 1


def test_a_set_of_two_far_durations_is_cut_into_windows_of_the_shorter():
    headers = [Info(44_100, 44_100 * seconds, 1) for seconds in (1, 10)] * 20
    assert suggest(headers, choose_rate_and_duration(headers)).window_s == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "0.5 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (3_661, "1 h 1 min"),
        (86_400, "24 h 0 min"),
    ],
)
def test_durations(seconds, words):
    assert describe_text.duration(seconds) == words
