"""A sweep on a Ray cluster of two nodes: one is killed, all rows are there, to the bit."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_set

SWEEP = Path(__file__).with_name("two_rows.py")
EPOCHS = 20


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    root = tiny_set.write_set(folder / "set")
    settings = {
        **tiny_set.overrides(folder), "model.trunk": "vgg_tiny", "train.num_epochs": EPOCHS,
        "num_devices": 1,
    }  # fmt: skip
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    return [SWEEP, "--table=1", f"--data_root={root}", *flags]


@pytest.fixture(scope="module")
def expected(words, tmp_path_factory, environment):
    """The sweep in one process, with as many threads as a run has processors below."""
    workdir = tmp_path_factory.mktemp("alone") / "sweep"
    subprocess.run([sys.executable, *map(str, words), f"--workdir={workdir}"],
                   env={**environment, "NPROC": "1"}, check=True)  # fmt: skip
    return table(workdir)


def table(workdir):
    """The rows of a sweep without their times, and the digests of the networks."""
    with (workdir / "table.csv").open() as file:
        rows = [{k: v for k, v in row.items() if "_s" not in k} for row in csv.DictReader(file)]
    results = (workdir / row / "seed0" / "results.json" for row in ("gap", "mlp"))
    return rows, [json.loads(path.read_text())["model_sha256"] for path in results]


def epochs(workdir, row):
    path = workdir / row / "seed0" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def test_a_run_goes_on_elsewhere_when_its_node_dies(words, expected, cluster, start, tmp_path):
    node = cluster.add_small()
    workdir = tmp_path / "sweep"
    process = start(*words, f"--workdir={workdir}", "--on=ray", f"--address={cluster.address}")
    wait_for(lambda: min(epochs(workdir, row) for row in ("gap", "mlp")) >= 2, process)
    cluster.remove_node(node, allow_graceful=False)
    killed_at = [epochs(workdir, row) for row in ("gap", "mlp")]
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert max(killed_at) < EPOCHS, "no run was killed in the middle"
    assert "resuming at step" in output + errors
    assert table(workdir) == expected
    assert len(list((tmp_path / "store").glob("*"))) <= 1


def test_a_stop_saves_every_run_and_the_same_command_goes_on(words, expected, start, tmp_path):
    words = [*words, f"--workdir={tmp_path / 'sweep'}", "--on=ray", "--cpus_per_run=1"]
    process = start(*words)
    wait_for(lambda: epochs(tmp_path / "sweep", "gap") >= 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "runs finished; the same command resumes from there" in errors
    again = start(*words)
    output, errors = again.communicate()
    assert again.returncode == 0, errors
    assert "resuming at step" in output + errors
    assert table(tmp_path / "sweep") == expected
