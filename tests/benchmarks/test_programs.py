import json
import os
import subprocess
import sys
from functools import partial
from unittest import mock

import numpy as np
import pytest
import tiny_set

from ascjax.errors import UserError
from benchmarks import (
    all,
    convert,
    convolutions,
    epoch,
    export,
    extract,
    frontend,
    gpu,
    inference,
    measure,
    scaling,
    train_step,
)


@pytest.fixture(autouse=True)
def clip(tmp_path, monkeypatch):
    """One short recording in place of the real ones; no program's environment stays behind."""
    for name in ("NPROC", "XLA_FLAGS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    path = tiny_set.write_wave(tmp_path / "clip.wav", rate_hz=48_000, seconds=0.5)
    monkeypatch.setattr(measure, "clips", lambda scratch: [path])
    return path


def once(sides, repeats, *, interleaved=measure.interleaved, **options):
    """Of however many rounds one, as no number of seconds is looked at."""
    return interleaved(sides, 1, **{**options, "warmup": 0})


def run(program, tmp_path, *flags):
    """Runs a program in this process; returns the rows of its tables."""
    out = tmp_path / "out.json"
    with mock.patch.object(measure, "interleaved", once):
        program.main(program.parse(["benchmark", f"--out={out}", *flags]))
    found = json.loads(out.read_text())
    assert found["machine"]["gpu"] == "none: unmeasured"
    return list(found["tables"].values())


def test_sides_take_turns_in_a_new_order_each_round():
    calls = []
    sides = {name: partial(calls.append, name) for name in "ab"}
    seconds = measure.interleaved(sides, 3, warmup=1)
    assert "".join(calls) == "ba" + "ab" + "ba" + "ab"
    assert {name: values.shape for name, values in seconds.items()} == {"a": (3,), "b": (3,)}


def test_what_a_turn_begins_with_is_not_timed(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(measure.time, "sleep", lambda _: None)

    def takes(seconds):
        def call():
            now[0] += seconds

        return call

    sides, before = {"a": takes(1), "b": takes(2)}, {"a": takes(10), "b": takes(20)}
    seconds = measure.interleaved(sides, 3, warmup=0, before=before)
    np.testing.assert_array_equal(seconds["a"], [1, 1, 1])
    np.testing.assert_array_equal(seconds["b"], [2, 2, 2])


def test_numbers_are_given_as_median_and_quartiles():
    middle = measure.spread([4, 1, 2, 3, 100])
    assert middle == {"median": 3, "low": 2, "high": 4}
    rows = [{"side": "a", "s": middle}, {"side": "bb", "more": 0.12345}]
    assert measure.table(rows).splitlines()[1:] == ["a     3 [2–4]", "bb             0.123"]


def test_frontend(tmp_path):
    speed, away = run(frontend, tmp_path, "--quick")
    assert [row["side"] for row in speed][:2] == ["ours", "librosa float64"]
    assert max(row["ours"] for row in away) < 1e-4


def test_extract(tmp_path):
    (rows,) = run(extract, tmp_path, "--counts=4,8", "--workers=1")
    assert [row["recordings"] for row in rows] == [4, 8]


@pytest.mark.slow
def test_train_step(tmp_path):
    flags = ["--trunks=alexnet", "--heads=mlp", "--frames=63", "--batch=8", "--repeats=1"]
    ((row,),) = run(train_step, tmp_path, *flags, "--no_compile")
    assert row["loss differs by"] < 1e-4


def test_convolutions():
    for what in ("output", "gradient of kernel", "gradient of input"):
        row = convolutions.of_layer(8, 16, 16, 256, 256, what, repeats=1)
        assert 0 < row["relative difference"] < 1e-4


@pytest.mark.slow
def test_convolutions_of_all_layers(tmp_path):
    flags = ["--convolutions", "--frames=32", "--batch=1", "--repeats=1"]
    (rows,) = run(train_step, tmp_path, *flags)
    assert [row["planes"] for row in rows][:7:3] == ["1 → 64", "64 → 64", "64 → 128"]
    assert max(row["relative difference"] for row in rows) < 1e-4


def test_inference(tmp_path, clip):
    tiny_set.write_wave(clip, rate_hz=48_000, seconds=10)
    flags = ["--trunk=alexnet", "--recordings=1", "--batch=18", "--repeats=1", "--no_compile"]
    for rows in run(inference, tmp_path, *flags):
        assert [row["side"] for row in rows] == ["ours", "eager", "channels_last", "bf16 autocast"]
        assert max(row["scores differ by"] for row in rows[:3]) < 1e-5


@pytest.mark.slow
def test_epoch(tmp_path):
    flags = ["--trunk=tiny", "--steps=2", "--batch=8", "--repeats=1"]
    ((row,),) = run(epoch, tmp_path, *flags)
    assert row["steps"] == 2


@pytest.mark.slow
def test_scaling(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "COUNTS", (1, 2))
    flags = ["--trunk=tiny", "--batch=4", "--repeats=1", "--model_trunks=vgg_tiny"]
    rows, model = run(scaling, tmp_path, *flags)
    assert [row["devices"] for row in rows] == [1, 2]
    assert rows[1]["differs from one device by"] < 0.05
    assert [row["accelerators"] for row in model] == [8, 64, 512]
    kept = [row["share of the pace kept"] for row in model]
    assert kept == sorted(kept, reverse=True)


def test_the_model_of_exchange_is_a_ring():
    options = scaling.parse(["benchmark", "--model_trunks=vgg_tiny", "--latency_us=0"])
    within, beyond, _ = scaling.exchange(options)
    megabytes = within["gradients MB"]
    assert within["exchange ms"] == pytest.approx(2 * 7 / 8 * megabytes / 450)
    assert beyond["exchange ms"] == pytest.approx(2 * 63 / 64 * megabytes / 50)


@pytest.mark.slow
def test_convert(tmp_path):
    rows, others = run(convert, tmp_path, "--architectures=resnet18", "--repeats=1")
    assert rows[0]["proven MB"] > rows[0]["file MB"] > 40
    assert [row["package"] for row in others] == ["eqxvision", "flaxmodels"]


def test_all_runs_each_program_and_names_those_that_fail(tmp_path, monkeypatch):
    commands = []

    def run(command):
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode=len(commands) == 2)

    monkeypatch.setattr(all.subprocess, "run", run)
    with pytest.raises(UserError, match="^extract failed"):
        all.main(all.parse(["all", "--quick", f"--out={tmp_path}"]))
    assert [command[2] for command in commands] == [f"benchmarks.{name}" for name in all.PROGRAMS]
    assert np.all(["--quick" in command for command in commands])
    with pytest.raises(UserError, match="did you mean 'convert'"):
        all.main(all.parse(["all", "--only=konvert"]))


def test_the_programs_for_a_gpu_keep_to_the_time_and_outlive_a_failure(tmp_path, monkeypatch):
    now, limits = [0.0], {}

    def run(job, limit_s, logs):
        limits[job.name] = limit_s
        now[0] += limit_s - 1
        return {"state": "failed (1)" if job.name == "inference" else "done"}

    monkeypatch.setattr(gpu, "run", run)
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    flags = [f"--out={tmp_path}", "--root=ESC-10", "--weights=vgg16.safetensors"]
    with pytest.raises(UserError, match="^inference failed"):
        gpu.main(gpu.parse(["gpu", *flags]))
    assert now[0] < 13 * 60
    found = json.loads((tmp_path / "gpu.json").read_text())
    names = list(found)
    assert names[0] == "train_step-vgg16-71-32"
    assert len([name for name in names if name.startswith("train_step")]) == 12
    assert names[-2:] == ["esc10-imagenet-3", "esc10-random-3"]
    assert names.index("epoch") < len(limits) < len(names)
    assert found[names[-1]]["state"] == "no time left"


def test_a_program_is_stopped_at_its_limit_and_its_log_kept(tmp_path):
    code = "import time; print('begun', flush=True); time.sleep(600)"
    job = gpu.Job("slow", [sys.executable, "-c", code], tmp_path / "slow.json", 1)
    assert gpu.run(job, 0.5, tmp_path)["state"] == "stopped after 0 s"
    (tmp_path / "quick.json").write_text('{"found": 1}')
    job = gpu.Job("quick", [sys.executable, "-c", ""], tmp_path / "quick.json", 60)
    assert gpu.run(job, 60, tmp_path)["result"] == {"found": 1}
    job = gpu.Job("wrong", [sys.executable, "-c", "1 / 0"], tmp_path / "wrong.json", 60)
    assert "ZeroDivisionError" in gpu.run(job, 60, tmp_path)["log"]


@pytest.mark.slow
def test_the_programs_for_a_gpu_run_at_tiny_sizes(tmp_path, finished_run):
    flags = [f"--out={tmp_path}", "--smoke", f"--root={finished_run[1]}", "--weights=x"]
    gpu.main(gpu.parse(["gpu", *flags, "--seeds=1"]))
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {each["state"] for each in found.values()} == {"done"}
    assert found["esc10-random-1"]["result"]["accuracy"]["total"] == 30


@pytest.mark.slow
def test_export_times_the_same_network_on_every_side(finished_run, tmp_path):
    pytest.importorskip("onnxruntime")
    [rows] = run(export, tmp_path, "--quick", f"--run={finished_run[0]}")
    assert [row["side"] for row in rows] == ["ours", "onnx", "stablehlo"]
    assert min(row["MB"] for row in rows) > 0.5
