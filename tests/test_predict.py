import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_set

from ascjax import predict
from ascjax.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """A folder as the challenge gives them: audio/1.wav, audio/2.wav, ..."""
    root = tmp_path_factory.mktemp("unlabelled")
    for number, pitch_hz in enumerate([200.0, 1000.0, 4000.0], start=8):
        tiny_set.write_wave(root / "audio" / f"{number}.wav", pitch_hz=pitch_hz, seed=number)
    (root / "README.txt").write_text("no audio")
    return root


@pytest.fixture
def command(finished_run):
    return lambda *words: predict.main(
        predict.parse(["predict", f"--run={finished_run[0]}", *map(str, words)])
    )


def test_it_prints_a_table(command, unlabelled, capsys):
    command(unlabelled / "audio" / "9.wav", unlabelled)
    header, *lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header == ["file", "scene", "score"]
    audio = unlabelled / "audio"
    assert [line[:2] for line in lines] == [
        [f"{audio}/9.wav", "park"], [f"{audio}/10.wav", "tram"], [f"{audio}/8.wav", "bus"]
    ]  # fmt: skip
    assert all(33 < float(line[2]) <= 100 and line[3] == "%" for line in lines)


def test_or_csv(command, unlabelled, capsys):
    command("--csv", unlabelled / "audio" / "8.wav")
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["file"], row["scene"]) == (str(unlabelled / "audio" / "8.wav"), "bus")
    assert 0.33 < float(row["score"]) <= 1


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(
    finished_run, unlabelled, tmp_path
):
    (tmp_path / "text.wav").write_text("no sound")
    done = subprocess.run(
        [sys.executable, "-m", "ascjax.predict", f"--run={finished_run[0]}",
         tmp_path, unlabelled / "audio" / "8.wav"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{tmp_path}/text.wav: is no audio file" in done.stderr
    assert "error: 1 of 2 files can't be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == [f"{unlabelled}/audio/8.wav", "bus"]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--submission_format=dcase", "audio/10.wav\ttram\naudio/8.wav\tbus\naudio/9.wav\tpark\n"),
        ("--submission_format=kaggle", "Id,Scene_label\n10,tram\n8,bus\n9,park\n"),
    ],
)
def test_submissions(command, unlabelled, tmp_path, capsys, flag, expected):
    out = tmp_path / "out.csv"
    command(unlabelled, f"--submission={out}", flag)
    assert out.read_bytes().decode() == expected
    assert capsys.readouterr().out == f"submission of 3 files: {out}\n"
    with pytest.raises(UserError, match=r"--submission=.*out\.csv: is there already"):
        command(unlabelled, f"--submission={out}")


def test_a_submission_needs_every_file(command, unlabelled, tmp_path, capsys):
    folder = shutil.copytree(unlabelled, tmp_path / "folder")
    (folder / "audio" / "11.wav").write_text("no sound")
    out = tmp_path / "out.csv"
    with pytest.raises(UserError, match="1 of 4 files .* a submission needs every one"):
        command(folder, f"--submission={out}")
    assert "11.wav: is no audio file" in capsys.readouterr().err
    assert not out.exists()
    (folder / "audio" / "11.wav").rename(folder / "8.flac")
    with pytest.raises(UserError, match="2 files would be called '8' in it"):
        command(folder, f"--submission={out}", "--submission_format=kaggle")


def test_mistakes_are_answered_before_any_work(command, unlabelled, tmp_path):
    for words, message in {
        (): "required: FILE_OR_FOLDER",
        (tmp_path,): "expected audio files .* in this folder, found none",
        (unlabelled, "--submission=/nowhere/out.csv"): "/nowhere/out.csv: cannot be written",
        (unlabelled, "--submission_format=kagle"): "did you mean 'kaggle'",
        (unlabelled, "--submision=x"): "unknown '--submision'; did you mean '--submission'",
        (unlabelled, f"--run={tmp_path}"): r"results\.json: expected this file of a finished run",
    }.items():
        with pytest.raises(UserError, match=message):
            command(*words)


def test_a_first_answer_waits_for_no_import_of_pytorch_or_numba():
    code = (
        "import sys, numpy; from ascjax import journal, predictor\n"
        "from ascjax.audio import logmel\n"
        "logmel.LogMel(8_000, 16)(numpy.zeros(8_000, 'float32'))\n"
        "slow = {'torch', 'numba', 'scipy.signal', 'scipy.stats'}\n"
        "sys.exit(' '.join(slow & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
