"""Which processes train together, as flags or the environment say, without any being started."""

import errno
import fcntl
import re

import pytest

from ascjax import main
from ascjax.cluster import place as places
from ascjax.cluster.place import Place
from ascjax.errors import UserError
from ascjax.files import exclusive

SLURM = {
    "SLURM_JOB_ID": "77", "SLURM_STEP_NODELIST": "node[3-4]", "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1", "SLURM_LOCALID": "0",
}  # fmt: skip


def place(*flags):
    return places.place(main.parse(["train", "--config=quickstart", *flags]))


@pytest.fixture
def slurm(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_flags_say_which_process_this_is():
    flags = ["--coordinator=node1:5000", "--num_processes=2", "--process_id=1"]
    assert place(*flags) == Place("node1:5000", 2, 1)
    assert place("--coordinator=node1:5000", "--num_processes=1", "--process_id=0") is None
    assert place() is None


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--process_id=0", "expected --coordinator and --num_processes as well"),
        ("--coordinator=node1 --num_processes=2 --process_id=0", "expected HOST:PORT"),
        ("--coordinator=n:1 --num_processes=2 --process_id=2", "expected 0 to 1"),
        ("--coordinator=n:1 --num_processes=0 --process_id=0", "expected 1 or more"),
        ("--coordinator=n:1 --num_processes=2 --process_id=0 --folds=all", "--folds: trains in"),
    ],
)
def test_flags_that_cannot_be_right(flags, says):
    with pytest.raises(UserError, match=re.escape(says)):
        main.main(main.parse(["train", "--config=quickstart", *flags.split()]))


def test_slurm_is_detected(slurm):
    assert place() == Place("node3:61517", 2, 1, detected=True)
    slurm.setenv("JAX_COORDINATOR_PORT", "5000")
    assert place().coordinator == "node3:5000"


def test_one_task_of_slurm_is_one_process(slurm):
    slurm.setenv("SLURM_NTASKS", "1")
    assert place() is None


def test_an_environment_that_tells_nothing_is_one_process(slurm, capsys):
    slurm.setenv("SLURM_NTASKS", "two")
    assert place() is None
    assert capsys.readouterr().out.startswith("training in this process alone")


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(UserError, match=r"no lock can be kept there \(No locks available\)"),
        exclusive(tmp_path, "training"),
    ):
        pass
