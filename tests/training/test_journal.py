import json
import os
from pathlib import Path

import pytest
import tqdm as tqdm_package

from ascjax.errors import UserError
from ascjax.training import journal
from ascjax.training.journal import TrainingLog, read_history

NUMBERS = {"train/loss": 0.5, "train/accuracy": 0.75, "seconds": 12.0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is moved."""
    now = [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    return now


def make_log(path, step=0):
    return TrainingLog(path, step=step, num_steps=12, steps_per_epoch=4, batch_size=8)


def test_an_epochs_line_gives_the_time_that_is_left(tmp_path, capsys, clock):
    log = make_log(tmp_path)
    clock[0] += 30
    log.epoch(4, 1, NUMBERS)
    clock[0] += 10
    log.epoch(8, 2, {**NUMBERS, "validation/accuracy": 0.5})
    log.epoch(12, 3, NUMBERS)
    log.close()
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1 of 3: loss 0.500, accuracy 75.0 %, 12.0 s, 1 min 0 s left",
        "epoch 2 of 3: loss 0.500, accuracy 75.0 %, validation 50.0 %, 12.0 s, 10 s left",
        "epoch 3 of 3: loss 0.500, accuracy 75.0 %, 12.0 s",
    ]


def test_without_a_terminal_there_is_a_line_a_minute_and_no_bar(tmp_path, capsys, clock):
    log = make_log(tmp_path)
    for step in range(1, 9):
        clock[0] += 25
        log.progress(step)
    log.close()
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "step 3 of 12, 0.32 fragments/s, 3 min 45 s left",
        "step 6 of 12, 0.32 fragments/s, 2 min 30 s left",
    ]
    assert err == ""


def test_on_a_terminal_there_is_a_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tqdm_package.std.sys.stderr, "isatty", lambda: True, raising=False)
    log = make_log(tmp_path)
    log.progress(4)
    log.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/12" in err


def test_what_was_written_after_the_step_of_a_resumed_run_is_dropped(tmp_path):
    log = make_log(tmp_path)
    for epoch in (1, 2):
        log.epoch(4 * epoch, epoch, NUMBERS)
    log.close()
    make_log(tmp_path, step=6).close()
    assert [entry["step"] for entry in read_history(tmp_path / "metrics.jsonl")] == [4]


@pytest.mark.parametrize(
    "line",
    [
        '{"epoch": 2}', '{"step": 8}', '{"step": "8", "epoch": 2}', '{"step": 8, "epoch": true}',
        '{"step": 8, "epoch": 2.5}', '{"step": 8, "epoch": 2, "seconds": null}', "[8, 2]", "8", "",
        '{"step": 8, "epoch": 2}', '{"step": 8', "\x00", "\udcff",
        '{"step": 8, "epoch": 2, "seconds": -1}', '{"step": 8, "epoch": 2, "seconds": Infinity}',
        '{"step": 8, "epoch": 2, "seconds": 1, "train/loss": 1' + "0" * 400 + "}",
    ],
)  # fmt: skip
def test_a_damaged_line_is_named_in_one_line(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    good = json.dumps({"step": 4, "epoch": 1, **NUMBERS})
    path.write_bytes(f"{good}\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: expected a JSON") as caught:
        read_history(path)
    assert "\n" not in str(caught.value)
    # The last line, without its end, was being written.
    path.write_bytes(f"{good}\n{line}".encode(errors="surrogateescape"))
    assert [entry["step"] for entry in read_history(path)] == [4]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_said(tmp_path, make):
    make(tmp_path / "metrics.jsonl")
    with pytest.raises(UserError, match=r"metrics\.jsonl: cannot be read \(.*; move it away and"):
        read_history(tmp_path / "metrics.jsonl")


def test_history_is_in_order_and_a_repeated_epoch_counts_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    entries = [
        {"step": 10 * epoch, "epoch": epoch, "seconds": 1.0, "x": x}
        for epoch, x in ((1, 1), (2, 2), (2, 3), (3, 4))
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert [entry["x"] for entry in read_history(path)] == [1, 3, 4]
    assert read_history(tmp_path / "none.jsonl") == []
