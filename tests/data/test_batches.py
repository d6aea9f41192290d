import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.compute.devices import shard
from ascjax.data import batches
from ascjax.errors import UserError


def make_fragments(num_recordings: int = 5, count: int = 3, channels: int = 2, frames: int = 11):
    """Each value of the log-mel tells where it is from."""
    shape = (num_recordings + 2, channels, 4, frames)
    log_mel = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    indices = np.arange(1, num_recordings + 1)[::-1].copy()
    labels = np.arange(num_recordings) % 3
    return batches.Fragments(log_mel, indices, labels, count)


def test_fragments_are_equal_pieces_in_the_order_recording_channel_fragment():
    fragments = make_fragments(num_recordings=2, count=3, channels=2, frames=11)
    assert fragments.num_frames == 3
    assert len(fragments) == 2 * 2 * 3
    batch = fragments.take(np.array([0, 4, 11, -1]))
    # Row 2 is recording 0; example 4 is its second channel's second fragment.
    np.testing.assert_array_equal(batch["log_mel"][0, :, :, 0], fragments.log_mel[2, 0, :, 0:3])
    np.testing.assert_array_equal(batch["log_mel"][1, :, :, 0], fragments.log_mel[2, 1, :, 3:6])
    np.testing.assert_array_equal(batch["log_mel"][2, :, :, 0], fragments.log_mel[1, 1, :, 6:9])
    np.testing.assert_array_equal(batch["log_mel"][3], 0)
    np.testing.assert_array_equal(batch["example"], [0, 4, 11, -1])
    np.testing.assert_array_equal(batch["label"], [0, 0, 1, 0])


@settings(deadline=None)
@given(
    num_recordings=st.integers(1, 9),
    count=st.integers(1, 4),
    channels=st.integers(1, 3),
    per_device=st.integers(1, 7),
    num_devices=st.sampled_from([1, 2, 3, 8]),
)
def test_every_recording_counts_exactly_once_for_any_batch_size_and_device_count(
    num_recordings, count, channels, per_device, num_devices
):
    fragments = make_fragments(num_recordings, count, channels)
    seen = []
    for batch in batches.evaluation(fragments, batch_size=per_device * num_devices):
        sharded = shard(batch["log_mel"], num_devices)
        assert sharded.shape[:2] == (num_devices, per_device)
        # A stand-in for posteriors that tells which fragment it came from.
        seen.append((batch["example"], sharded[..., 0, :1, 0].reshape(-1, 1)))
    gathered = batches.gather(seen, fragments.shape)[..., 0]
    expected = fragments.log_mel[fragments.indices][:, :, 0, :: fragments.num_frames][:, :, :count]
    np.testing.assert_array_equal(gathered, expected)


def test_gather_refuses_an_example_that_is_missing_or_there_twice():
    values = np.ones((2, 1), np.float32)
    with pytest.raises(ValueError, match="every example once, but 1 came otherwise"):
        batches.gather([(np.array([0, -1]), values)], (2, 1, 1))
    with pytest.raises(ValueError, match="every example once, but 1 came otherwise"):
        batches.gather([(np.array([0, 1]), values), (np.array([1, -1]), values)], (2, 1, 1))


def run(fragments, **options):
    return [b["example"].tolist() for b in batches.training(fragments, **options)]


def test_training_takes_whole_batches_of_a_new_permutation_each_epoch():
    fragments = make_fragments(num_recordings=5, count=2, channels=2)
    got = run(fragments, batch_size=4, seed=0, first_step=0, last_step=15)
    epochs = [sum(got[i : i + 5], []) for i in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # Neighbouring examples of one recording are torn apart: the whole set is shuffled.
    assert max(abs(a - b) for a, b in zip(epochs[0], epochs[0][1:], strict=False)) > 10


def test_training_is_a_function_of_the_seed_and_resumes_at_any_step():
    fragments = make_fragments()
    whole = run(fragments, batch_size=4, seed=3, first_step=0, last_step=20)
    assert run(fragments, batch_size=4, seed=3, first_step=0, last_step=20) == whole
    assert run(fragments, batch_size=4, seed=3, first_step=13, last_step=20) == whole[13:]
    assert run(fragments, batch_size=4, seed=4, first_step=0, last_step=20) != whole


def test_a_batch_larger_than_the_split_is_an_error_with_both_sizes():
    fragments = make_fragments(num_recordings=1, count=1, channels=1)
    with pytest.raises(UserError, match=r"has 1 fragments, fewer than one batch of 4 takes"):
        run(fragments, batch_size=4, seed=0, first_step=0, last_step=1)
