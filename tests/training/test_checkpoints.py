import contextlib
import errno
import os
import shutil

import jax
import numpy as np
import pytest

from ascjax.errors import UserError
from ascjax.training import arrays as module
from ascjax.training.arrays import DamagedCheckpoint
from ascjax.training.checkpoints import Checkpoints


def state(step):
    return {"step": np.int32(step), "kernel": np.full((2, 3), step, np.float32)}


def numbers(accuracy, loss=1.0):
    return {"validation/accuracy": accuracy, "validation/loss": loss}


def saved(path, accuracies, *, losses=None, restart_after=None, keep=1):
    checkpoints = Checkpoints(path, keep=keep)
    for i, accuracy in enumerate(accuracies):
        loss = 1.0 if losses is None else losses[i]
        checkpoints.save(i + 1, state(i + 1))
        checkpoints.end_epoch(i + 1, numbers(accuracy, loss))
        if i + 1 == restart_after:
            checkpoints.close()
            checkpoints = Checkpoints(path, keep=keep)
    checkpoints.wait()
    return checkpoints


def steps(path):
    return sorted(int(p.name) for p in path.iterdir() if p.name.isdigit())


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("restart_after", [None, 1, 2, 3])
def test_the_last_and_the_best_are_kept_also_over_a_restart(tmp_path, restart_after):
    kept = saved(tmp_path, [0.5, 0.9, 0.6, 0.7], restart_after=restart_after)
    assert steps(tmp_path) == [2, 4]
    assert kept.best() == 2
    assert kept.latest() == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "4"]


def test_of_equal_accuracies_the_lower_loss_and_then_the_earlier_is_best(tmp_path):
    assert saved(tmp_path / "a", [0.9, 0.9, 0.9, 0.7], losses=[2.0, 1.0, 1.0, 0.1]).best() == 2
    assert saved(tmp_path / "b", [0.9, 0.9, 0.7]).best() == 1


def test_a_checkpoint_of_a_stop_between_does_not_push_the_best_out(tmp_path):
    checkpoints = saved(tmp_path, [0.9, 0.5])
    checkpoints.save(7, state(7))
    assert checkpoints.latest() == 7
    assert checkpoints.best() == 1
    assert_equal(Checkpoints(tmp_path).restore(1, state(0)), state(1))


def test_without_validation_there_is_no_best_and_the_last_are_kept(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    for step in (3, 4, 5):
        checkpoints.save(step, state(step))
        checkpoints.end_epoch(step, {})
    assert checkpoints.best() is None
    assert steps(tmp_path) == [4, 5]
    assert not caplog.records


def test_an_epoch_ends_once_it_is_noted(tmp_path):
    checkpoints = saved(tmp_path, [0.5])
    checkpoints.save(2, state(2))
    checkpoints.wait()
    assert (checkpoints.ended(1), checkpoints.ended(2)) == (True, False)


def test_a_step_is_named_once_it_is_on_disk(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"kernel": np.ones((500, 1000), np.float32)})
        named = checkpoints.latest()
        assert steps(tmp_path) == [named] == [step]


def test_a_step_in_flight_is_on_disk_when_the_folder_is_closed(tmp_path):
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save(1, {"kernel": np.ones((500, 1000), np.float32)})
    assert steps(tmp_path) == [1]


@pytest.mark.parametrize("name", ["a[b]", "[1-3]", "a\\b", "a*b", "a?b", "a b", "ä"])
def test_a_folder_of_any_name_is_restored(tmp_path, name):
    path = tmp_path / name / "checkpoints"
    for step in (1, 2):  # the second in a folder that is there, as a resumed run's is
        checkpoints = Checkpoints(path)
        checkpoints.save(step, state(step))
        checkpoints.end_epoch(step, numbers(step / 10))
        checkpoints.close()
    again = Checkpoints(path)
    assert (again.latest(), again.best()) == (2, 2)
    jax.tree.map(np.testing.assert_array_equal, again.restore(2, state(0)), state(2))
    again.close()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_no_flipped_bit_is_restored(tmp_path, capsys):
    """More than these, at random, are flipped by ``make faults``."""
    saved(tmp_path / "whole", [0.5, 0.6], keep=2).close()
    (data,) = sorted((tmp_path / "whole" / "2" / "d").iterdir())
    files = [*(tmp_path / "whole" / "2" / "ocdbt.process_0" / "d").iterdir(), data]
    places = [(path, 8 * path.stat().st_size // 2) for path in files]
    places += [(data, 5), (data.parents[1] / "_CHECKPOINT_METADATA", 2001)]
    outcomes = []
    for number, (path, bit) in enumerate(places):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        flip(folder / path.relative_to(tmp_path / "whole"), bit)
        with contextlib.closing(Checkpoints(folder, keep=2)) as checkpoints:
            step, tree = checkpoints.resume(state(0))
        assert_equal(tree, state(step))
        said = capsys.readouterr().out
        aside = rf"{folder}/2: damaged (", "; it is now 2.damaged, and the run resumes from step 1"
        assert all(part in said for part in aside) == (step == 1)
        assert (folder / "2.damaged").exists() == (step == 1)
        outcomes.append(step)
    assert outcomes.count(1) >= 3


def test_where_all_are_damaged_the_run_begins_anew(tmp_path, capsys):
    saved(tmp_path, [0.5]).close()
    for file in (tmp_path / "1").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(DamagedCheckpoint, match=f"{tmp_path}/1: damaged"):
        checkpoints.restore(1, state(0))
    assert checkpoints.resume(state(0)) is None
    assert "the run resumes from the start" in capsys.readouterr().out
    checkpoints.save(1, state(1))
    assert_equal(checkpoints.resume(state(0))[1], state(1))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"content": {}, "crc32": 0}', None])
def test_damaged_numbers_are_named_and_the_last_epochs_are_made_again(tmp_path, content):
    checkpoints = saved(tmp_path, [0.9, 0.5])
    for step in (1, 2):
        path = tmp_path / str(step) / "validation.json"
        whole = path.read_text()
        path.write_text(whole.replace("0.", "0.1") if content is None else content)
        assert not checkpoints.ended(step)
        with pytest.raises(UserError, match=rf"{path}: damaged; remove .*, or .*/{step} to"):
            checkpoints.best()
        path.write_text(whole)
    assert checkpoints.best() == 1


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"kernel": np.zeros((3, 2), np.float32)}, r"expected kernel as float32\[3, 2\], got"),
        ({"kernel": np.zeros((2, 3), np.int32)}, r"expected kernel as int32\[2, 3\], got float32"),
        ({"kernel": np.zeros(6, np.float32)}, r"expected kernel as float32\[6\], got"),
        ({"bias": np.zeros(3, np.float32)}, "bias is in one of them only"),
    ],
)
def test_another_networks_checkpoint_is_refused_and_kept(tmp_path, like, message):
    checkpoints = saved(tmp_path, [0.5])
    with pytest.raises(UserError, match=rf"{tmp_path}/1: not of this network.*{message}"):
        checkpoints.resume({**state(0), **like})
    assert steps(tmp_path) == [1]


def test_a_full_disk_is_said_soon_and_the_same_save_works_later(tmp_path, monkeypatch, capfd):
    checkpoints = saved(tmp_path, [0.5], keep=2)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        checkpoints.save(2, state(2))
        checkpoints.end_epoch(2, numbers(0.6))
        checkpoints._thread.submit(int).result()  # once the thread has come so far
        with pytest.raises(UserError, match=f"{tmp_path}/2: cannot be written .No space.*; free"):
            checkpoints.check()
    checkpoints.close()
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    assert_equal(Checkpoints(tmp_path).resume(state(0))[1], state(1))
    assert capfd.readouterr().err == ""


def test_what_orbax_cannot_write_is_one_line_and_leaves_nothing(tmp_path, capfd):
    """A limit of files' size, as TensorStore's errors are no OSError."""
    import resource

    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    checkpoints = Checkpoints(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    reserve = module._reserve
    module._reserve = lambda *_: None
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        checkpoints.save(1, {"kernel": values})
        with pytest.raises(UserError, match=f"{tmp_path}/1: cannot be written .*too large") as said:
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        module._reserve = reserve
    assert "\n" not in str(said.value)
    assert not list(tmp_path.iterdir())
    checkpoints.save(1, {"kernel": values})
    assert checkpoints.latest() == 1
    checkpoints.close()
    assert capfd.readouterr().err == ""


def test_what_was_being_removed_or_saved_when_killed_is_no_checkpoint(tmp_path):
    saved(tmp_path, [0.5]).close()
    shutil.copytree(tmp_path / "1", tmp_path / "2.deleted")
    shutil.copytree(tmp_path / "1", tmp_path / "3.orbax-checkpoint-tmp")
    assert Checkpoints(tmp_path).latest() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
