import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import tiny_set

from ascjax import describe
from ascjax.errors import UserError
from ascjax.models import cost
from ascjax.paper import estimate

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tiny_set.write_set(tmp_path_factory.mktemp("set") / "set", per_scene=10)
    samples, rate = soundfile.read(root / "bus" / "1-000-A.wav", dtype="int32")
    soundfile.write(root / "park" / "2-900-A.flac", samples, rate, subtype="PCM_24")
    soundfile.write(root / "bus" / "1-901-A.wav", 0 * samples, rate)
    (root / "tram" / "1-902-A.wav").write_text("no sound")
    return root


def command(*words):
    describe.main(describe.parse(["describe", *map(str, words)]))


def test_it_reads_every_recording(root, capsys):
    command(root)
    out = capsys.readouterr().out
    for words in (
        "33 recordings",
        "leak: files with the same samples in the training and the test part",
        "contradiction: files with the same samples under several labels",
        "sound: digital silence (1), e.g. bus/1-901-A.wav",
        "tram/1-902-A.wav",
    ):
        assert words in out


def test_quick_reads_headers_only(root, capsys):
    command(root, "--quick", "--json")
    made = json.loads(capsys.readouterr().out)
    assert (made["inspected"], made["sound_problems"], made["findings"]) == (False, [], [])
    assert made["total"]["recordings"] == 33
    assert made["choice"]["sample_rate_hz"] == tiny_set.RATE_HZ
    assert list(made["unreadable"]) == ["tram/1-902-A.wav"]


def test_training_on_long_recordings_is_estimated_by_windows(tmp_path, capsys, monkeypatch):
    root = tmp_path / "set"
    for scene in ("bus", "park"):
        for place in range(5):
            tiny_set.write_wave(root / scene / f"{scene}-{place}.wav", seconds=70.0)
    shapes = []
    monkeypatch.setattr(estimate, "measure_pace", lambda _, shape: shapes.append(shape) or 1e9)
    monkeypatch.setattr(estimate, "num_evaluations", lambda _: 3e9)
    monkeypatch.setattr(cost, "of_example", lambda *_: 1.0)
    command(root, "--json")
    made = json.loads(capsys.readouterr().out)
    assert made["suggestion"]["window_s"] == 10
    [(_, frames)] = shapes
    assert frames <= 10 / 0.0232 + 2
    assert made["training_s"] == pytest.approx(7 * 3.0)


def test_the_command_names_a_fold_that_is_there(tmp_path, capsys):
    for scene in ("bus", "park"):
        for index in range(4):
            tiny_set.write_wave(tmp_path / scene / f"{index}.wav")
    rows = [f"{s}/{i}.wav,{s},{2 * (i % 2)}" for s in ("bus", "park") for i in range(4)]
    (tmp_path / "list.csv").write_text("\n".join(["path,scene,fold", *rows]))
    command(tmp_path, "--quick")
    assert "--config.data.fold=0" in capsys.readouterr().out


def test_columns_of_a_table(root, capsys):
    rows = [f"bus/1-{i:03}-A.wav,bus" for i in (0, 2)] + [
        f"park/1-{i:03}-A.wav,park" for i in (0, 2)
    ]
    table = root.parent / "list.csv"
    table.write_text("\n".join(["where,what", *(f"set/{row}" for row in rows)]))
    command(table, "--quick", "--columns=path=where,scene=what")
    assert "4 recordings" in capsys.readouterr().out
    with pytest.raises(UserError, match="columns: expected ROLE=COLUMN,..., got 'path:where'"):
        command(table, "--columns=path:where")


def test_a_mistake_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ascjax.describe", tmp_path / "none"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
