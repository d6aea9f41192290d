import jax
import jax.numpy as jnp
import numpy as np

from ascjax.configs import common
from ascjax.training import augment


def test_spec_augment_masks_whole_bands_and_frames_and_nothing_else():
    log_mel = jax.random.uniform(jax.random.key(1), (64, 32, 20, 1), minval=1.0, maxval=2.0)
    out = augment.spec_augment(
        jax.random.key(0), log_mel, num_mel_masks=1, max_mel_mask=8, num_frame_masks=1,
        max_frame_mask=5,
    )  # fmt: skip
    masked = np.asarray(out[..., 0] == 0)
    np.testing.assert_array_equal(out[~masked[..., None]], log_mel[~masked[..., None]])
    bands, frames = masked.all(axis=2), masked.all(axis=1)
    np.testing.assert_array_equal(masked, bands[:, :, None] | frames[:, None, :])
    assert bands.sum(axis=1).max() == 8
    assert frames.sum(axis=1).max() == 5
    assert len(set(bands.sum(axis=1))) == 9  # all widths 0..8 come up among 64 examples
    # A stretch is contiguous: as many bands as from the first to the last masked one.
    for row in bands[bands.any(axis=1)]:
        at = np.flatnonzero(row)
        assert at[-1] - at[0] + 1 == len(at)


def test_spec_augment_with_nothing_to_mask_is_the_identity():
    log_mel = jnp.ones((2, 4, 5, 1))
    off = {"num_mel_masks": 0, "max_mel_mask": 2, "num_frame_masks": 0, "max_frame_mask": 2}
    np.testing.assert_array_equal(augment.spec_augment(jax.random.key(0), log_mel, **off), log_mel)


def test_mixup_mixes_inputs_and_targets_by_the_same_shares():
    targets = jnp.eye(16)
    log_mel = jnp.broadcast_to(targets[:, :, None, None], (16, 16, 3, 1))
    mixed, mixed_targets = augment.mixup(jax.random.key(2), log_mel, targets, alpha=0.4)
    np.testing.assert_allclose(mixed[:, :, 0, 0], mixed_targets, rtol=1e-6)
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1.0, rtol=1e-6)
    assert np.sum(np.asarray(mixed_targets) > 0) > 16


def test_shift_moves_each_example_round_and_round_by_its_own_number_of_frames():
    frames = 20
    log_mel = jnp.broadcast_to(jnp.arange(float(frames))[None, None, :, None], (64, 3, frames, 1))
    moved = np.asarray(augment.shift(jax.random.key(3), log_mel, max_share=0.25))[..., 0]
    first = moved[:, 0, 0]
    np.testing.assert_array_equal(
        moved, (first[:, None, None] + np.arange(frames)) % frames * 1.0 + np.zeros((1, 3, 1))
    )
    assert set((-first) % frames) == {*range(6), *range(15, 20)}


def test_augmentation_with_everything_off_is_the_identity():
    log_mel, targets = jnp.ones((2, 4, 5, 1)), jnp.eye(2)
    settings = common.get_config().augment.to_dict()
    out = augment.augment(jax.random.key(0), log_mel, targets, **settings)
    np.testing.assert_array_equal(out[0], log_mel)
    np.testing.assert_array_equal(out[1], targets)
