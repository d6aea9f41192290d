"""One training over two and four processes of this machine, against one over as many devices."""

import shutil
import signal
import socket
import time

import numpy as np
import pytest
import tiny_set
from safetensors.numpy import load_file

EPOCHS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    tiny_set.write_set(folder / "set")
    return folder


@pytest.fixture
def launch(start, folder, environment):
    """Starts a training in so many processes, with words of all and ``more`` of the last one."""
    settings = {
        **tiny_set.overrides(folder), "data.root": folder / "set", "protocol": "validated",
        "channels": "left,average", "model.dropout": 0.3, "augment.mixup_alpha": 0.3,
        "augment.mix_style_alpha": 0.4, "augment.max_shift": 0.2, "augment.num_mel_masks": 1,
        "optimizer.name": "sgd", "optimizer.learning_rate": 0.02, "train.num_epochs": EPOCHS,
    }  # fmt: skip

    def launch(workdir, count, *more, words=(), devices=1):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        flags = [f"--config.{key}={value}" for key, value in settings.items()]
        forced = f"--xla_force_host_platform_device_count={devices}"
        variables = {"NPROC": "1", "XLA_FLAGS": f"{environment['XLA_FLAGS']} {forced}"}
        return [
            start(
                "-m", "ascjax", "train", f"--config={tiny_set.CONFIG}", *flags,
                f"--workdir={workdir}", f"--coordinator=127.0.0.1:{port}",
                f"--num_processes={count}", f"--process_id={index}", *words,
                *(more if index == count - 1 else ()), **variables,
            )
            for index in range(count)
        ]  # fmt: skip

    return launch


@pytest.fixture(scope="module")
def finished(folder):
    """The folder that the first test trains in, two processes that never stop."""
    return folder / "whole"


def ended(processes):
    """The exit code and all output of each."""
    outputs = ["".join(process.communicate()) for process in processes]
    return [process.returncode for process in processes], outputs


def one_error(output):
    """The error in an output, which holds no other and no traceback."""
    assert "Traceback" not in output
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


def in_the_middle(workdir, processes):
    """Returns once two more epochs are logged."""
    path = workdir / "metrics.jsonl"
    before = path.read_bytes().count(b"\n") if path.exists() else 0
    while not path.exists() or path.read_bytes().count(b"\n") < before + 2:
        assert all(process.poll() is None for process in processes), ended(processes)
        time.sleep(0.02)


def values(workdir):
    arrays = load_file(workdir / "model.safetensors")
    return {**arrays, "posteriors": np.load(workdir / "posteriors.npz")["posteriors"]}


def assert_close(one, other):
    for name, expected in values(one).items():
        np.testing.assert_allclose(values(other)[name], expected, 1e-3, 1e-4, err_msg=name)


def test_two_processes_train_as_one_with_two_devices(launch, finished, folder):
    own = f"--config.data.store_dir={folder / 'another'}"
    alone = launch(folder / "alone", 1, own, devices=2)
    codes, outputs = ended(launch(finished, 2))
    assert codes == [0, 0], outputs
    assert "of  most often taken for" in outputs[0]
    assert outputs[1] == ""
    assert ended(alone)[0] == [0]
    assert_close(folder / "alone", finished)
    assert not list((folder / "store").glob("*/.*-[01]"))


def test_a_stop_and_a_death_lose_nothing(launch, finished, folder):
    workdir = folder / "interrupted"
    processes = launch(workdir, 2)
    in_the_middle(workdir, processes)
    processes[1].send_signal(signal.SIGTERM)
    codes, outputs = ended(processes)
    assert codes == [143, 143], outputs
    assert ", saved; the same command resumes" in outputs[0]
    assert outputs[1] == ""
    shutil.copytree(workdir, folder / "stopped")
    processes = launch(workdir, 2)
    in_the_middle(workdir, processes)
    processes[1].kill()
    started = time.monotonic()
    codes, outputs = ended(processes)
    assert codes == [1, -signal.SIGKILL], outputs
    assert time.monotonic() - started < 60
    assert one_error(outputs[0]).startswith("error: process 1 on ")
    codes, outputs = ended(launch(workdir, 2))
    assert codes == [0, 0], outputs
    assert "resuming at step" in outputs[0]
    for name, expected in values(finished).items():
        np.testing.assert_array_equal(values(workdir)[name], expected, err_msg=name)


def test_four_processes_go_on_and_one_when_the_first_has_died(launch, finished, folder):
    workdir = folder / "stopped"
    processes = launch(workdir, 4, f"--config.data.store_dir={folder / 'own'}")
    in_the_middle(workdir, processes)
    processes[0].kill()
    codes, outputs = ended(processes)
    assert codes == [-signal.SIGKILL, 1, 1, 1], outputs
    assert all(one_error(o).startswith("error: process 0 (127.0.0.1:") for o in outputs[1:])
    [rows] = [np.load(path) for path in (folder / "own").glob("*/rows.npy")]
    assert rows["state"].tolist() == [1] * 30
    codes, outputs = ended(launch(workdir, 1))
    assert codes == [0], outputs
    assert_close(finished, workdir)


def test_processes_that_differ_say_in_what(launch, folder):
    codes, outputs = ended(launch(folder / "none", 2, "--config.seed=3"))
    assert codes == [2, 2]
    for output in outputs:
        assert "config.seed (0 in process 0 on " in one_error(output)
    assert not (folder / "none").exists()
