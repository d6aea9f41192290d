import errno
import json
import os
import resource
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fake_run import ENVIRONMENT, fake_info, write_fake_run

from ascjax.errors import UserError
from ascjax.files import (
    append,
    check_new,
    is_new,
    read_arrays,
    read_json,
    write_arrays,
    write_text,
    writing,
)
from ascjax.runs.folder import (
    read_posteriors,
    read_results,
    read_run,
    read_trained,
    restore_front_end,
)

MODEL = vars(fake_info(("bus", "park"), ("left",), 1).model)


def test_json_is_read(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"format": 1, "scenes": ["küche"]}', encoding="utf-8")
    assert read_json(path) == {"format": 1, "scenes": ["küche"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected this file, there is none; start the run's command again"),
        (b'{"format": ', "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        (b"[1, 2]", "expected a JSON object"),
    ],
)
def test_damaged_json_is_named(tmp_path, content, message):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_json(path)
    assert str(error.value).startswith(str(path))


def test_a_folder_of_folds_is_no_run(tmp_path):
    (tmp_path / "fold2").mkdir()
    (tmp_path / "fold2" / "results.json").touch()
    with pytest.raises(UserError, match=r"holds runs of folds; give one of them, e\.g\. .*/fold2$"):
        read_trained(tmp_path)


def test_arrays_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), names=np.array(["a", "b"]))
    arrays = read_arrays(tmp_path / "a.npz", "x", "names")
    assert arrays["x"].tolist() == [0, 1, 2]
    assert arrays["names"].tolist() == ["a", "b"]


def test_damaged_arrays_are_named(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez(whole, x=np.random.default_rng(0).normal(size=1000))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    (tmp_path / "half.npz").write_bytes(whole.read_bytes()[:4000])
    (tmp_path / "text.npz").write_text("no arrays here")
    (tmp_path / "empty.npz").write_bytes(b"")
    flipped = bytearray(whole.read_bytes())
    flipped[3000] ^= 255
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name in ("half", "text", "empty", "flipped", "objects", "missing"):
        with pytest.raises(UserError, match=rf"{name}\.npz: expected the arrays x, got "):
            read_arrays(tmp_path / f"{name}.npz", "x")
    with pytest.raises(UserError, match="expected the arrays x, y, got"):
        read_arrays(whole, "x", "y")


@pytest.mark.parametrize("shape", ["(10000000,)", "(1000000000000,)", "(((("])
def test_arrays_take_no_more_memory_than_their_file_stands_for(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        content = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
        archive.writestr("x.npy", content + bytes(80_000_000 * (shape == "(10000000,)")))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"a\.npz: expected the arrays x, got "):
            read_arrays(tmp_path / "a.npz", "x")
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_a_new_file_replaces_nothing_and_can_be_made(tmp_path):
    check_new(tmp_path / "new.json", "--out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(UserError, match=r"--out=.*old\.json: is there already; choose another"):
        check_new(tmp_path / "old.json", "--out")
    with pytest.raises(UserError, match=r"--out=.*x\.json: cannot be written \(No such file"):
        check_new(tmp_path / "nowhere" / "x.json", "--out")


# Every one is right, which the made-up run's aren't.
DECISIONS: dict = dict.fromkeys(("recording", "true", "predicted"), ["bus"] * 60)
DECISIONS |= {"score": [0.5] * 60}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("run.json", {"format": 1}, "run.json: expected format 3, got 1; use the version"),
        (
            "run.json",
            {"model": None},
            r"run.json: expected `object`, got `null` at `\$.model`; train",
        ),
        (
            "run.json",
            {"normalisation": {"mean": [0.0], "deviation": [0.0]}},
            "run.json: expected finite means and deviations other than 0",
        ),
        (
            "run.json",
            {"normalisation": {"mean": [0.0] * 3, "deviation": [1.0] * 2}},
            "run.json: expected as many means as deviations",
        ),
        (
            "run.json",
            {"model": {**MODEL, "macs_per_recording": 10**400}},
            "expected integers of at most 64 bits",
        ),
        (
            "run.json",
            {"model": {**MODEL, "flops_per_recording": 0}},
            r"expected flops_per_recording above 0 at `\$.model`",
        ),
        (
            "run.json",
            {"environment": {**vars(ENVIRONMENT), "started": "yesterday"}},
            "expected a date and time in ISO 8601 as started, got 'yesterday'",
        ),
        ("run.json", {"scenes": ["bus", "bus"]}, "expected scenes of different names"),
        ("run.json", {"scenes": ["bus", "pa\nrk"]}, "expected a name on one line for each scene"),
        ("run.json", {"channels": []}, "expected channels of left, right, average"),
        ("run.json", {"fragments": 0}, "expected 1 to 1,000,000 fragments, and an overlap in 0..1"),
        ("run.json", {"fragments": 10**10}, "expected 1 to 1,000,000 fragments"),
        ("run.json", {"duration_s": -1}, "expected a duration_s above 0 and at most 86,400"),
        (
            "run.json",
            {"fusion": {"fragments": "sum"}},
            "expected methods of fusion among mean, log",
        ),
        (
            "results.json",
            {"accuracy": None},
            r"expected `object`, got `null` at `\$.accuracy`; remove results",
        ),
        (
            "results.json",
            {"accuracy": {}},
            r"object missing required field `correct` at `\$.accuracy`",
        ),
        ("results.json", {"confusion": [[10**30] * 10] * 10}, "expected integers of at most 64"),
        ("results.json", {"confusion": [[1, 2], [3]]}, "expected confusion as scenes × scenes"),
        (
            "results.json",
            {"confusion": [3] * 10},
            r"expected `array`, got `int` at `\$.confusion\[",
        ),
        ("results.json", {"by_scene": {}}, "results.json: expected by_scene of airport, bus"),
        ("results.json", {"loss_by_scene": {"moon": 1.0}}, "expected loss_by_scene of the scenes"),
        ("results.json", {"by_channel": {}}, "expected by_channel of left, right, average; remove"),
        ("results.json", {"format": 2}, "expected format 4, got 2; use the .*, or remove results"),
        ("results.json", {"decisions": {"true": []}}, "missing required field `recording`"),
        ("results.json", {"decisions": {**DECISIONS, "true": ["bus"]}}, "expected decisions on 60"),
        (
            "results.json",
            {"decisions": DECISIONS},
            r"decisions on 60 recordings, \d+ of them right",
        ),
    ],
)
def test_what_is_json_but_not_a_run_is_named(tmp_path, name, change, message):
    write_fake_run(tmp_path)
    path = tmp_path / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    read = {"run.json": read_run, "results.json": read_results}[name]
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    "change",
    [
        {"device": np.array(["a", "b", "c"])},
        {"location": np.array("oslo")},
        {"city": np.arange(60)},
        {"posteriors": np.full((60, 1, 1, 10), "0.1")},
    ],
)
def test_posteriors_of_another_type_are_named(tmp_path, change):
    results = write_fake_run(tmp_path, channels=("left",), fragments=1)
    stored = read_posteriors(tmp_path, results)
    write_arrays(tmp_path / "posteriors.npz", **{**stored.arrays, **change})
    with pytest.raises(UserError, match=r"posteriors\.npz: expected posteriors as floats, and the"):
        read_posteriors(tmp_path, results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_mels": None}, "front_end: num_mels: expected a setting of the front end log_mel, g"),
        ({"num_mel": 3}, "front_end: num_mel: not a setting of the front end; .* 'num_mels'"),
        ({"num_mels": 64}, "expected means and deviations of 64 mel bands, got 128"),
        ({"name": "cqt"}, "front_end: name: expected one of log_mel, pcen, got 'cqt'"),
    ],
)
def test_a_front_end_that_is_not_the_runs_is_named(tmp_path, change, message):
    write_fake_run(tmp_path)
    path = tmp_path / "run.json"
    content = json.loads(path.read_text())
    changed = {**content["front_end"], **change}
    content["front_end"] = {key: value for key, value in changed.items() if value is not None}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"{path}: {message}.*; train the run anew"):
        restore_front_end(tmp_path, read_run(tmp_path))


class FullFile:
    """Takes four bytes, then the disk is full."""

    def __init__(self, file):
        self.file, self.left = file, 4

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        taken = content[: self.left]
        self.left -= len(taken)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(taken)


def test_a_folder_of_no_possible_name(tmp_path):
    with pytest.raises(UserError, match=r"cannot write there \(embedded null byte\); choose"):
        is_new(tmp_path / "a\0b", "run.json")


def test_what_is_appended_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "log"
    append(path, b"one\n")
    with monkeypatch.context() as patched:
        opened = Path.open
        patched.setattr(Path, "open", lambda *a, **k: FullFile(opened(*a, **k)))
        with pytest.raises(UserError, match=rf"{path}: cannot be written .No space.*; free some"):
            append(path, b"second\n")
    assert path.read_bytes() == b"one\n"
    append(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_arrays_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, x=np.arange(3))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(UserError, match=rf"{path}: cannot be written .File too large.*; free"):
            write_arrays(path, x=np.arange(1_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_arrays(path, "x")["x"].tolist() == [0, 1, 2]
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]


def test_text_with_file_names_that_are_no_utf8_is_written(tmp_path):
    write_text(tmp_path / "a.html", os.fsdecode(b"caf\xe9"))
    with writing(tmp_path / "a.csv") as file:
        file.write(os.fsdecode(b"caf\xe9"))
    assert {path.read_text() for path in tmp_path.iterdir()} == {r"caf\udce9"}
