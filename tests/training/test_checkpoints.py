import jax
import numpy as np
import pytest

from ascjax.errors import UserError
from ascjax.training.checkpoints import Checkpoints, read


def state(step):
    return {"step": np.int32(step), "kernel": np.full((2, 3), step, np.float32)}


def numbers(accuracy, loss=1.0):
    return {"validation/accuracy": accuracy, "validation/loss": loss}


def saved(path, accuracies, *, losses=None, restart_after=None):
    checkpoints = Checkpoints(path, keep=1)
    for i, accuracy in enumerate(accuracies):
        loss = 1.0 if losses is None else losses[i]
        checkpoints.save(i + 1, state(i + 1), numbers(accuracy, loss))
        if i + 1 == restart_after:
            checkpoints.close()
            checkpoints = Checkpoints(path, keep=1)
    checkpoints.wait()
    return checkpoints


def steps(path):
    return sorted(int(p.name) for p in path.iterdir() if p.name.isdigit())


@pytest.mark.parametrize("restart_after", [None, 1, 2, 3])
def test_the_last_and_the_best_are_kept_also_over_a_restart(tmp_path, restart_after):
    kept = saved(tmp_path, [0.5, 0.9, 0.6, 0.7], restart_after=restart_after)
    assert steps(tmp_path) == [2, 4]
    assert kept.best() == 2
    assert kept.latest() == 4


def test_of_equal_accuracies_the_lower_loss_and_then_the_earlier_is_best(tmp_path):
    assert saved(tmp_path / "a", [0.9, 0.9, 0.9, 0.7], losses=[2.0, 1.0, 1.0, 0.1]).best() == 2
    assert saved(tmp_path / "b", [0.9, 0.9, 0.7]).best() == 1


def test_a_checkpoint_of_a_stop_between_does_not_push_the_best_out(tmp_path):
    checkpoints = saved(tmp_path, [0.9, 0.5])
    checkpoints.save(7, state(7), {})
    checkpoints.wait()
    assert checkpoints.latest() == 7
    assert checkpoints.best() == 1
    restored = Checkpoints(tmp_path).restore(1, state(0))
    jax.tree.map(np.testing.assert_array_equal, restored, state(1))


@pytest.mark.parametrize("ranked", [True, False])
def test_without_validation_there_is_no_best(tmp_path, ranked):
    checkpoints = Checkpoints(tmp_path, ranked=ranked)
    assert checkpoints.latest() is None
    checkpoints.save(3, state(3), {})
    checkpoints.wait()
    assert checkpoints.best() is None


def test_where_none_is_ranked_the_last_is_kept_and_nothing_warned_of(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path, ranked=False)
    for step in (3, 4):
        checkpoints.save(step, state(step), {})
    checkpoints.wait()
    assert steps(tmp_path) == [4]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_step_is_named_once_it_is_on_disk(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"kernel": np.ones((500, 1000), np.float32)}, numbers(0.5))
    named = checkpoints.latest()
    assert steps(tmp_path) == [named]
    checkpoints.save(2, {"kernel": np.ones((500, 1000), np.float32)}, numbers(0.6))
    assert checkpoints.best() == 2
    assert steps(tmp_path) == [2]


@pytest.mark.parametrize("name", ["a[b]", "[1-3]", "a\\b", "a*b", "a?b", "a b", "ä"])
def test_a_folder_of_any_name_is_restored(tmp_path, name):
    path = tmp_path / name / "checkpoints"
    for step in (1, 2):  # the second in a folder that is there, as a resumed run's is
        checkpoints = Checkpoints(path)
        checkpoints.save(step, state(step), numbers(step / 10))
        checkpoints.close()
    again = Checkpoints(path)
    assert (again.latest(), again.best()) == (2, 2)
    jax.tree.map(np.testing.assert_array_equal, again.restore(2, state(0)), state(2))
    again.close()
    like = {"kernel": jax.ShapeDtypeStruct((2, 3), np.float32)}
    np.testing.assert_array_equal(read(path / "2", like)["kernel"], state(2)["kernel"])
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_damaged_checkpoint_is_named(tmp_path):
    checkpoints = saved(tmp_path, [0.5])
    for file in (tmp_path / "1").rglob("*"):
        if file.is_file() and file.name != "_CHECKPOINT_METADATA":
            file.write_bytes(b"")
    with pytest.raises(UserError, match=f"{tmp_path}/1: cannot be restored"):
        checkpoints.restore(1, state(0))
    with pytest.raises(UserError, match=f"{tmp_path}/1: cannot be restored"):
        read(tmp_path / "1", state(0))


def test_one_array_is_read_and_nothing_is_touched(tmp_path):
    saved(tmp_path, [0.5, 0.6]).close()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    like = {"kernel": jax.ShapeDtypeStruct((2, 3), np.float32)}
    restored = read(tmp_path / "2", like)
    assert list(restored) == ["kernel"]
    np.testing.assert_array_equal(restored["kernel"], state(2)["kernel"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("step", "name", "shape", "message"),
    [
        (
            1,
            "kernel",
            (3, 2),
            r"1: .*aren't those of the run's network",
        ),
        (1, "bias", (3,), "its arrays aren't those of the run's network"),
        (7, "kernel", (2, 3), "7: cannot be restored"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, step, name, shape, message):
    saved(tmp_path, [0.5]).close()
    with pytest.raises(UserError, match=message):
        read(tmp_path / str(step), {name: jax.ShapeDtypeStruct(shape, np.float32)})
