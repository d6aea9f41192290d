"""The command as users run it, on real files: in a process of its own where that matters."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
import tiny_set

import ascjax.cli
from ascjax import main
from ascjax.report import report
from ascjax.training.journal import TrainingLog

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_set.write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def command(root, workdir, cache, *flags, config=tiny_set.CONFIG):
    settings = {**tiny_set.overrides(cache), "data.root": root}
    overrides = [f"--config.{key}={value}" for key, value in settings.items()]
    return [sys.executable, "-m", "ascjax.main", f"--config={config}", f"--workdir={workdir}",
            *overrides, "--config.num_devices=1", *flags]  # fmt: skip


def start_apart(*arguments, **options):
    """Starts the command in a process of its own."""
    return subprocess.Popen(
        command(*arguments, **options), cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip


def run(root, workdir, cache, *flags, pages=False, **options):
    """Runs the command in this process, which needn't import everything again.

    Pages take longer to draw than such a run to train; they are left out unless asked for.
    """
    _, _, *words = command(root, workdir, cache, *flags, **options)
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", words))
        if not pages:
            stack.enter_context(mock.patch.object(report, "write"))
        stack.enter_context(contextlib.redirect_stdout(stdout))
        stack.enter_context(contextlib.redirect_stderr(stderr))
        try:
            ascjax.cli.run(main.main, main.parse)
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())


THREE_CHANNELS = "--config.channels=left,right,average"


@pytest.fixture(scope="module")
def finished(tiny, cache, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    return workdir, run(tiny, workdir, cache, THREE_CHANNELS, pages=True)


def test_it_trains_evaluates_prints_and_reports(finished):
    workdir, done = finished
    assert done.returncode == 0, done.stderr
    assert re.search(r"all fused +\d+\.\d %  +\d+\.\d–\d+\.\d %", done.stdout)
    assert f"report: {workdir}/report.html" in done.stdout
    said = done.stderr + done.stdout
    assert re.search(
        r"tiny, head gap: 179 parameters, 0\.\d\d GFLOP a recording, from random", said
    )
    assert (
        "15 training, 0 validation and 15 test recordings of 2 s, 3 scenes, channels left" in said
    )
    with np.load(workdir / "posteriors.npz") as saved:
        assert saved["posteriors"].shape == (15, 3, 2, 3)
        np.testing.assert_allclose(saved["posteriors"].sum(-1), 1, atol=1e-5)
        assert len(set(saved["recording"].tolist())) == 15
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert list((workdir / "events").iterdir())
    results = json.loads((workdir / "results.json").read_text())
    assert results["accuracy"]["total"] == 15
    assert 0.2 < results["peak_memory_gb"]["host"] < 8
    assert re.search(r"^peak memory of the host: \d\.\d\d GB$", done.stdout, re.MULTILINE)
    about = json.loads((workdir / "run.json").read_text())
    assert about["recordings"] == {"train": 15, "validation": 0, "test": 15}
    assert len(about["normalisation"]["mean"]) == 40


def test_fragments_may_overlap_and_examples_be_augmented(tiny, cache, tmp_path):
    flags = ("--config.fragments.overlap=0.5", "--config.augment.max_shift=0.2")
    done = run(tiny, tmp_path / "run", cache, *flags)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "run" / "posteriors.npz") as saved:
        assert saved["posteriors"].shape == (15, 1, 2, 3)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (about["fragments"], about["overlap"]) == (2, 0.5)


def test_a_finished_run_is_reported_again_and_not_trained(finished, tiny, cache):
    workdir, done = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
    again = run(tiny, workdir, cache, THREE_CHANNELS, pages=True)
    assert (again.returncode, again.stdout) == (
        0,
        done.stdout[done.stdout.index("15 recordings") :],
    )
    after = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
    changed = {path.name for path in before if before[path] != after[path]}
    assert (before.keys(), changed - {".lock"}) == (after.keys(), {"report.html"})


def test_a_run_resumes_only_with_the_data_it_began_with(finished, tiny, cache, tmp_path):
    root, workdir = copied(tiny, tmp_path), shutil.copytree(finished[0], tmp_path / "run")
    results = workdir / "results.json"
    before = json.loads(results.read_text())
    results.unlink()  # as if killed while testing
    assert run(root, workdir, cache, THREE_CHANNELS).returncode == 0
    again = json.loads(results.read_text())
    for took in ("seconds", "peak_memory_gb"):
        assert again.pop(took).keys() == before.pop(took).keys()
    assert again == before
    results.unlink()
    bus, park = root / "bus" / "2-001-A.wav", root / "park" / "2-001-A.wav"
    changed = r"data set has changed since this run began \(.*recordings or their labels"
    # As many recordings of each scene as before, two of them with each other's label.
    bus.rename(root / "aside.wav")
    park.rename(bus)
    (root / "aside.wav").rename(park)
    bus.rename(bus.with_name("2-900-A.wav"))
    fails(run(root, workdir, cache, THREE_CHANNELS), changed)
    bus.with_name("2-900-A.wav").rename(bus)
    park.rename(root / "aside.wav")
    bus.rename(park)
    (root / "aside.wav").rename(bus)
    assert run(root, workdir, cache, THREE_CHANNELS).returncode == 0
    results.unlink()
    bus.unlink()
    fails(run(root, workdir, cache, THREE_CHANNELS), changed)


def test_a_run_resumes_where_only_places_and_how_often_to_save_differ(
    finished, tiny, cache, tmp_path
):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    with np.load(workdir / "posteriors.npz") as saved:
        before = saved["posteriors"]
    (workdir / "results.json").unlink()
    moved = copied(tiny, tmp_path)
    flags = (THREE_CHANNELS, "--config.eval.batch_size=4", "--config.checkpoint.keep=3",
             "--config.checkpoint.every_epochs=2")  # fmt: skip
    done = run(moved, workdir, cache, *flags)
    assert done.returncode == 0, done.stderr
    assert "resuming at step" in done.stdout + done.stderr
    with np.load(workdir / "posteriors.npz") as saved:
        np.testing.assert_allclose(saved["posteriors"], before, atol=1e-6)


def test_another_config_in_its_folder_is_refused(finished, tiny, cache):
    workdir, _ = finished
    done = run(tiny, workdir, cache, "--config.seed=1")
    fails(done, r"a run of another config: channels \(.*\), seed \(0 there, 1 now\); choose")


def test_stopped_and_started_again_it_ends_as_if_it_had_not_been(finished, tiny, cache, tmp_path):
    process = start_apart(tiny, tmp_path / "run", cache, THREE_CHANNELS)
    # The event file appears when the loop begins.
    while process.poll() is None and not (tmp_path / "run" / "events").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, said
    stopped = re.search(r"stopped at step (\d+) of 22, .*; the same command resumes", said)
    assert "Traceback" not in said
    # At step 0 where it was still compiling: that has nothing to save.
    resumes_as(finished, tiny, tmp_path / "run", cache, saved=stopped[1] != "0")


def test_ctrl_c_stops_as_sigterm_does(finished, tiny, cache, tmp_path, monkeypatch):
    def interrupt(log, step):
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLog, "progress", interrupt)
        done = run(tiny, tmp_path / "run", cache, THREE_CHANNELS, "--config.log_every_steps=2")
    assert done.returncode == 130
    assert "stopped at step 4 of 22, saved; the same command resumes" in done.stderr
    resumes_as(finished, tiny, tmp_path / "run", cache)


def resumes_as(finished, tiny, workdir, cache, *, saved=True):
    """The same command ends with the posteriors of a run that wasn't stopped."""
    again = run(tiny, workdir, cache, THREE_CHANNELS)
    assert again.returncode == 0, again.stderr
    assert ("resuming at step" in again.stdout + again.stderr) == saved
    name = "posteriors.npz"
    with np.load(finished[0] / name) as whole, np.load(workdir / name) as resumed:
        np.testing.assert_array_equal(whole["posteriors"], resumed["posteriors"])


def fails(done, pattern):
    """Exit code 2 and the reason in one or two lines, nothing else of a traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(pattern, said[0]), said[0]


def copied(tiny, tmp_path):
    return Path(shutil.copytree(tiny, tmp_path / "set"))


def test_truncated_text_and_empty_files_and_nan(tiny, tmp_path, cache):
    root = copied(tiny, tmp_path)
    path = root / "bus" / "1-000-A.wav"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    fails(run(root, tmp_path / "run", cache), rf"{path}: .*cut short")
    path.write_text("this is no sound")
    fails(run(root, tmp_path / "run", cache), rf"{path}: .*")
    soundfile.write(path, np.zeros((0, 2)), 16000)
    fails(run(root, tmp_path / "run", cache), rf"{path}: .*")
    soundfile.write(path, np.full(32000, np.nan), 16000, subtype="FLOAT")
    fails(run(root, tmp_path / "run", cache), rf"{path}: .*NaN")
    done = run(root, tmp_path / "run", cache, "--config.data.on_bad_file=skip")
    assert done.returncode == 0, done.stderr
    assert re.search(r"left out: bus/1-000-A\.wav: .*NaN", done.stdout)


def test_what_cannot_be_trained_is_said_before_features_are_extracted(tiny, tmp_path, cache):
    store = f"--config.data.store_dir={tmp_path / 'store'}"
    done = run(tiny, tmp_path / "run", cache, store, "--config.fragments.count=6")
    fails(done, r"tiny needs .* 16 mel bands × 16 frames, got 40 × 14: .*fragments\.count")
    done = run(tiny, tmp_path / "run", cache, store, "--config.fragments.count=600")
    fails(done, r"fragments\.count is 600: expected 1 to 87")
    flags = ("--config.model.trunk=vgg16", "--config.init.weights=imagenet",
             f"--config.init.weights_dir={tmp_path}")  # fmt: skip
    done = run(tiny, tmp_path / "run", cache, store, *flags)
    fails(done, r"no converted weights at .*; make them with `ascjax convert vgg16 --out ")
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_dcase_baseline_learns(tiny, cache, tmp_path):
    flags = ("--config.model.trunk=baseline", "--config.fragments.count=1",
             "--config.model.head=baseline", "--config.train.batch_size=3",
             "--config.train.num_epochs=25")  # fmt: skip
    done = run(tiny, tmp_path / "run", cache, *flags, config="baseline")
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["front_end"]["window"] == "hamming"
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["accuracy"]["correct"] > 10  # of 15, with 3 scenes


def test_the_validated_protocol_tests_the_best_epoch(tiny, cache, tmp_path):
    flags = ("--config.protocol=validated", "--config.train.num_epochs=5", "--config.seed=3",
             "--config.optimizer.learning_rate=0.02")  # fmt: skip
    done = run(tiny, tmp_path / "run", cache, *flags)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    best = max(
        lines, key=lambda x: (x["validation/accuracy"], -x["validation/loss"], -x["step"])
    )  # fmt: skip
    assert json.loads((tmp_path / "run" / "results.json").read_text())["step"] == best["step"]


def test_all_folds_are_trained_and_pooled(tiny, cache, tmp_path):
    done = run(tiny, tmp_path / "runs", cache, "--folds=all")
    assert done.returncode == 0, done.stderr
    assert re.search(r"run 2 of 2: tiny, fold 2, in ", done.stdout + done.stderr)
    folds = json.loads((tmp_path / "runs" / "folds.json").read_text())
    parts = [
        json.loads((tmp_path / "runs" / f"fold{fold}" / "results.json").read_text())["accuracy"]
        for fold in (1, 2)
    ]
    assert list(folds["by_fold"].values()) == parts
    right = parts[0]["correct"] + parts[1]["correct"]
    assert (folds["format"], folds["accuracy"]["correct"]) == (3, right)
    assert folds["accuracy"]["total"] == 30
    assert re.search(rf"all folds pooled +{100 * right / 30:.1f} % .* {right} +30", done.stdout)
    again = run(tiny, tmp_path / "runs", cache, "--folds=all")
    assert "run 2 of 2: tiny, fold 2 is finished" in again.stdout + again.stderr
    fails(
        run(tiny, tmp_path / "runs" / "fold1", cache, "--folds=all"), "fold1: holds a run; choose"
    )
    other = run(tiny, tmp_path / "runs", cache, "--folds=all", "--config.seed=1")
    fails(other, r"fold1: holds a run of another config: seed \(0 there, 1 now\); choose")


def test_a_set_of_one_fold_has_no_other(tiny, cache, tmp_path):
    table = [
        f"{path},{path.parent.name},{'test' if path.name.startswith('1') else 'train'}"
        for path in sorted(tiny.glob("*/*.wav"))
    ]
    (tmp_path / "set.csv").write_text("\n".join(["path,scene,fold", *table]))
    done = run(tmp_path / "set.csv", tmp_path / "run", cache, "--folds=all")
    fails(done, r"--folds=all: .*set\.csv has fold 1 only; leave --folds out")


def test_a_class_absent_from_training(tiny, tmp_path, cache):
    root = copied(tiny, tmp_path)
    for path in (root / "tram").glob("2-*"):
        path.unlink()
    fails(run(root, tmp_path / "run", cache), r"tram")


@pytest.mark.parametrize("config", ["vgg_mlp", "configs/vgg_mlp.py"])
@pytest.mark.parametrize("join", ["=", " "])
def test_a_command_line_becomes_a_config_and_a_workdir(config, join):
    words = [f"--config{join}{config}", f"--config.seed{join}3", f"--config.channels{join}left"]
    options = main.parse(["main", *(part for word in words for part in word.split(" "))])
    assert (options.config.seed, options.config.channels) == (3, ("left",))
    assert (options.config.model.head, options.config.init.weights) == ("mlp", "imagenet")
    assert (options.workdir, options.folds) == (Path("runs/vgg_mlp"), None)
    options = main.parse(["main", f"--config={config}", "--workdir=there", "--folds=all"])
    assert (options.workdir, options.folds) == (Path("there"), "all")


def test_a_config_file_is_run_once(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from pathlib import Path\n"
        "from ascjax.configs.common import get_config\n"
        f"with Path({str(tmp_path / 'log')!r}).open('a') as log: print('run', file=log)\n"
    )
    options = main.parse(["main", f"--config={path}", "--config.seed=2"])
    assert (options.config.seed, options.workdir) == (2, Path("runs/mine"))
    assert (tmp_path / "log").read_text() == "run\n"
