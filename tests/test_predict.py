import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
import soundfile
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


def test_a_table(command, unlabelled, capsys):
    command(unlabelled / "audio" / "9.wav", unlabelled)
    header, *lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header == ["file", "scene", "score"]
    audio = unlabelled / "audio"
    assert [line[:2] for line in lines] == [
        [f"{audio}/9.wav", "park"], [f"{audio}/10.wav", "tram"], [f"{audio}/8.wav", "bus"]
    ]  # fmt: skip
    assert all(33 < float(line[2]) <= 100 and line[3] == "%" for line in lines)


def test_formats_and_timelines(command, unlabelled, capsys):
    file = unlabelled / "audio" / "8.wav"
    command("--format=csv", file)
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["file"], row["scene"]) == (str(file), "bus")
    assert float(row["bus"]) == float(row["score"])
    command("--format=json", "--timeline", "--hop_s=0.5", "--by=channel", file)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["start_s"], row["channel"]) for row in rows] == [(0, "left"), (0, "average")]
    command("--format=audacity", file)
    assert capsys.readouterr().out.startswith("0.000000\t2.000000\tbus ")


def test_without_a_run_it_is_the_shipped_one_wherever_it_is_asked(tmp_path, monkeypatch, capsys):
    (tmp_path / "esc10").mkdir()  # as a training makes it
    monkeypatch.chdir(tmp_path)
    tiny_set.write_wave(tmp_path / "a.wav", rate_hz=44_100)
    predict.main(predict.parse(["predict", "a.wav"]))
    said = capsys.readouterr()
    assert "the network esc10 that comes with ascjax" in said.err
    assert "a.wav" in said.out


def test_short_recordings_are_said(command, tmp_path, capsys):
    command(tiny_set.write_wave(tmp_path / "a.wav", seconds=0.5))
    assert "1 recording shorter than a window of 2 s, repeated" in capsys.readouterr().err


def test_files_that_cannot_be_read_are_named_and_the_others_go_on(
    finished_run, unlabelled, tmp_path
):
    (tmp_path / "text.wav").write_text("no sound")
    out = tmp_path / "out.csv"
    done = _apart(
        finished_run, tmp_path, unlabelled / "audio" / "8.wav", "--format=csv", f"--out={out}"
    )
    assert done.returncode == 2
    assert f"{tmp_path}/text.wav: is no audio file" in done.stderr
    assert "error: 1 of 2 recordings can't be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_text().splitlines()[1].split(",")[1] == "bus"


def test_if_none_can_be_read_nothing_is_written(command, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(UserError, match=r"1 of 1 recording can't be read.*nothing is done"):
        command(tmp_path, f"--out={tmp_path / 'out.csv'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.wav"]


def test_thresholds_that_the_run_lacks(command, unlabelled):
    for flag in ("--accuracy=0.95", "--coverage=0.9"):
        with pytest.raises(UserError, match="has no calibration"):
            command(unlabelled, flag)


def test_low_scores_are_unknown(command, unlabelled, capsys):
    command(unlabelled / "audio" / "8.wav", "--min_score=1")
    assert "unknown (low score)" in capsys.readouterr().out


def test_raw_samples_through_standard_input_a_line_for_each_window(finished_run, unlabelled):
    samples, _ = soundfile.read(unlabelled / "audio" / "8.wav", dtype="int16")
    words = [sys.executable, "-m", "ascjax", "predict", f"--run={finished_run[0]}", "-",
             "--rate=16000", "--columns_raw=2", "--format=json"]  # fmt: skip
    with subprocess.Popen(words, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as process:
        process.stdin.write(samples.tobytes())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["scene"] == "bus"  # and it isn't at an end
        process.stdin.write(samples.tobytes())
        process.stdin.close()
        assert json.loads(process.stdout.readline())["start_s"] == 2.0
        assert process.wait() == 0


def test_a_whole_file_through_standard_input(finished_run, unlabelled):
    with (unlabelled / "audio" / "8.wav").open("rb") as file:
        done = _apart(finished_run, "-", stdin=file)
    assert done.stdout.splitlines()[1].split()[1] == "bus"
    done = _apart(finished_run, "-", stdin=DEVNULL)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: 1 of 1 recording can't be read")
    assert "Traceback" not in done.stderr


def test_full_disks_and_closed_pipes(finished_run, unlabelled):
    full = _apart(finished_run, unlabelled, stdout=os.open("/dev/full", os.O_WRONLY))
    assert (full.returncode, full.stderr) == (
        2, "error: standard output: cannot be written (No space left on device)\n"
    )  # fmt: skip
    read, write = os.pipe()
    os.close(read)
    closed = _apart(finished_run, unlabelled, stdout=write)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_a_full_disk_leaves_nothing_half_written(command, unlabelled, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predict.FORMS["table"], "row", full)
    with pytest.raises(UserError, match=r"out\.txt: cannot be written \(No space left"):
        command(unlabelled, f"--out={tmp_path / 'out.txt'}")
    assert list(tmp_path.iterdir()) == []


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
    with pytest.raises(UserError, match="1 recording can't be read.* a submission needs every one"):
        command(folder, f"--submission={out}")
    assert "11.wav: is no audio file" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(UserError, match="nor --timeline nor a format of labels, audac"):
        command(folder, f"--submission={out}", "--format=audacity")
    (folder / "audio" / "11.wav").rename(folder / "8.flac")
    with pytest.raises(UserError, match="2 files would be called '8' in it"):
        command(folder, f"--submission={out}", "--submission_format=kaggle")


def test_mistakes_are_answered_before_any_work(command, unlabelled, tmp_path):
    file = unlabelled / "audio" / "8.wav"
    for words, message in {
        (): "required: FILE_OR_FOLDER",
        (tmp_path,): "expected audio files .* in this folder, found none",
        (unlabelled, "--submission=/nowhere/out.csv"): "/nowhere/out.csv: cannot be written",
        (unlabelled, "--submission_format=kagle"): "did you mean 'kaggle'",
        (unlabelled, "--submision=x"): "unknown '--submision'; did you mean '--submission'",
        (unlabelled, f"--run={tmp_path}"): "expected the folder of a finished run or of its folds",
        (unlabelled, "--run=nowhere"): "nowhere: expected the folder of a finished run",
        (unlabelled, "--format=jsn"): "did you mean 'json'",
        (unlabelled, "--format=raven"): "has the labels of one recording, got 3",
        (unlabelled, f"--out={file}"): "8.wav: is there already",
        (unlabelled, "--out=/dev/full"): "/dev/full: is there already",
        (unlabelled, "--hop_s=0"): "expected more than 0 seconds, got 0",
        (unlabelled, "--hop_s=nan"): "expected more than 0 seconds, got nan",
        (unlabelled, "--top=0"): "expected 1 or more, got 0",
        (unlabelled, "--min_score=60"): "expected a number from 0 to 1, got 60",
        (unlabelled, "--min_score=0.5", "--accuracy=0.9"): "not allowed with",
        (unlabelled, "--by=channel"): "--by: goes with --timeline",
        (unlabelled, "--timeline", "--by=column"): "--by: expected one of fragment, channel",
        (file, "--rate=16000"): "--rate: is that of raw samples",
        ("-", "--rate=0"): "expected a whole number of 1,000 to 768,000 Hz, got 0",
        ("-", "--rate=nan"): "--rate",
        ("-", "--rate=16000", "--encoding=u8"): "encoding of raw samples: expected one of",
        ("-", "-"): "standard input can be given once",
    }.items():
        with pytest.raises(UserError, match=message) as raised:
            command(*words)
        assert str(raised.value).count("\n") == 0


def test_a_first_answer_waits_for_no_import_that_it_does_not_need(finished_run, unlabelled):
    code = (
        "import sys; from ascjax import predict\n"
        "predict.main(predict.parse(sys.argv))\n"
        "slow = {'clu', 'fsspec', 'grain', 'librosa', 'matplotlib', 'ml_collections', 'numba',\n"
        "        'optax', 'orbax', 'pyarrow', 'ray', 'scipy', 'tensorboardX', 'torch'}\n"
        "sys.exit(' '.join(slow & set(sys.modules)) or 0)"
    )
    words = [f"--run={finished_run[0]}", str(unlabelled / "audio" / "8.wav")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_and_mistakes_come_without_jax():
    code = "import sys; from ascjax import evaluate, predict; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def _apart(finished_run, *words, stdout=PIPE, **options):
    return subprocess.run(
        [sys.executable, "-m", "ascjax", "predict", f"--run={finished_run[0]}", *map(str, words)],
        cwd=ROOT, stdout=stdout, stderr=PIPE, text=True, check=False, **options,
    )  # fmt: skip
