"""A sweep on a Ray cluster of two nodes: stopped, one killed, all rows are there, to the bit."""

import csv
import json
import operator
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_set

from ascjax.cluster.runs import Placement
from ascjax.errors import UserError

SWEEP = Path(__file__).with_name("two_rows.py")
EPOCHS = 16


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


def at(workdir):
    """How many epochs each row has done."""
    paths = [workdir / row / "seed0" / "metrics.jsonl" for row in ("gap", "mlp")]
    return [path.read_bytes().count(b"\n") if path.exists() else 0 for path in paths]


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def test_a_stop_and_a_death_of_a_node_lose_nothing(words, expected, cluster, start, tmp_path):
    node = cluster.add_small()
    workdir = tmp_path / "sweep"
    words = [*words, "--workdir=sweep", "--on=ray"]  # in another folder than the nodes'
    process = start(*words, "--cpus_per_run=1", cwd=tmp_path)  # on a cluster of its own
    wait_for(lambda: min(at(workdir)) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "runs finished; the same command resumes from there" in errors
    stopped_at = at(workdir)
    assert max(stopped_at) < EPOCHS, "no run was stopped in the middle"
    process = start(*words, f"--address={cluster.address}", cwd=tmp_path)
    wait_for(lambda: all(map(operator.gt, at(workdir), stopped_at)), process)
    cluster.remove_node(node, allow_graceful=False)
    killed_at = at(workdir)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert max(killed_at) < EPOCHS, "no run was killed in the middle"
    assert (output + errors).count("resuming at step") == 3
    assert table(workdir) == expected
    assert len(list((tmp_path / "store").glob("*"))) <= 1


def test_a_run_that_no_machine_has_room_for_is_refused():
    machines = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}]
    assert Placement().options(machines)["num_gpus"] == 1
    assert Placement(gpus=0).options(machines)["num_cpus"] == 4
    for placement in (Placement(cpus=9, gpus=0), Placement(gpus=2), Placement(cpus=9)):
        with pytest.raises(UserError, match="this cluster's have 4 and 0; 8 and 1; see --cpus"):
            placement.options(machines)
