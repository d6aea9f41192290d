import jax.numpy as jnp
import numpy as np
import pytest

from ascjax.compute import rounds
from ascjax.compute.devices import local_devices, replicate, shard
from ascjax.data import batches
from ascjax.errors import UserError
from ascjax.training import feed


def make_split(num_recordings=7, count=3, overlap=0.0):
    """Every value of the log-mel is another; recordings are taken backwards."""
    rng = np.random.default_rng(0)
    log_mel = rng.normal(size=(num_recordings + 2, 2, 4, 11)).astype(np.float32)
    indices = np.arange(1, num_recordings + 1)[::-1].copy()
    labels = (np.arange(num_recordings) % 3).astype(np.int32)
    return batches.Fragments(log_mel, indices, labels, count, overlap)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize(("first_step", "overlap"), [(0, 0.0), (3, 0.5)])
def test_batches_are_those_of_the_pipeline_to_the_bit(resident, first_step, overlap):
    split, devices = make_split(overlap=overlap), local_devices(4)
    steps = {"batch_size": 8, "seed": 5, "first_step": first_step, "last_step": 15}

    def step(state, batch, offset):
        """Keeps the batch of every step."""
        at, kept = state
        kept = {name: kept[name].at[at].set(batch[name]) for name in kept}
        return (at + 1, kept), at.astype(jnp.float32) + offset

    offset = np.float32(100)
    empty = {
        "log_mel": np.zeros((15, 2, 4, split.num_frames, 1), np.float32),
        "label": np.zeros((15, 2), np.int32),
    }
    if resident:
        program = rounds.program(feed.step_on_resident(step, split), devices)
        stream = feed.resident_rounds(split, devices, (6, 5), offset, **steps)
    else:
        program = rounds.program(step, devices)
        stream = feed.pipeline_rounds(split, devices, (6, 5), offset, **steps)
    state = replicate((np.int32(first_step), empty), devices)
    ends, losses = [first_step], []
    for end, round_ in stream:
        state, round_losses = program(state, round_)
        losses += np.asarray(round_losses)[0, : end - ends[-1]].tolist()
        ends.append(end)
    all_ends = (5, 6, 10, 12, 15) if resident else (4, 5, 6, 8, 10, 12, 15)
    assert ends == [first_step, *(n for n in all_ends if n > first_step)]
    assert losses == list(range(100 + first_step, 115))
    for at, batch in enumerate(batches.training(split, **steps), first_step):
        for name, kept in state[1].items():
            np.testing.assert_array_equal(kept[:, at], shard(batch[name], 4))


NEEDED = 7 * 2 * 3 * 4 * 3 * 4  # recordings, channels, fragments, mels, frames, bytes


def test_auto_is_for_accelerators_with_room(capsys):
    split = make_split()
    assert feed.fits_on_devices("auto", split, "gpu", 4 * NEEDED)
    assert feed.fits_on_devices("auto", split, "tpu", np.inf)
    assert not feed.fits_on_devices("auto", split, "cpu", np.inf)
    assert not feed.fits_on_devices("off", split, "gpu", np.inf)
    assert not capsys.readouterr().out
    assert not feed.fits_on_devices("auto", split, "gpu", 4 * NEEDED - 1)
    assert "more than 25% of" in capsys.readouterr().out


def test_on_is_for_any_device_and_says_the_way_out_where_there_is_no_room():
    split = make_split()
    assert feed.fits_on_devices("on", split, "cpu", 2 * NEEDED)
    with pytest.raises(
        UserError, match=r"more than 50% of the 0\.00 GB .* can't be resident; turn that off"
    ):
        feed.fits_on_devices("on", split, "gpu", 2 * NEEDED - 1)
