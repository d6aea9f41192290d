import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import ALL_AUGMENTATION, NO_AUGMENTATION

from ascjax.compute.devices import AXIS, example_keys, local_devices, pmap, replicate, shard
from ascjax.training import augment


def keys(seed, count):
    return example_keys(jax.random.key(seed), count, axis_name=None)


def test_spec_augment_masks_whole_bands_and_frames_and_nothing_else():
    log_mel = jax.random.uniform(jax.random.key(1), (64, 32, 20, 1), minval=1.0, maxval=2.0)
    out = augment.spec_augment(
        keys(0, 64), log_mel, num_mel_masks=1, max_mel_mask=8, num_frame_masks=1, max_frame_mask=5
    )
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
    np.testing.assert_array_equal(augment.spec_augment(keys(0, 2), log_mel, **off), log_mel)


def test_mixup_mixes_inputs_and_labels_by_the_same_shares():
    labels = jnp.eye(16)
    log_mel = jnp.broadcast_to(labels[:, :, None, None], (16, 16, 3, 1))
    mixed, mixed_labels = augment.mixup(jax.random.key(2), log_mel, labels, alpha=0.4)
    np.testing.assert_allclose(mixed[:, :, 0, 0], mixed_labels, rtol=1e-6)
    np.testing.assert_allclose(mixed_labels.sum(axis=1), 1.0, rtol=1e-6)
    assert np.sum(np.asarray(mixed_labels) > 0) > 16


def test_shift_rolls_each_example_by_its_own_number_of_frames():
    frames = 20
    log_mel = jnp.broadcast_to(jnp.arange(float(frames))[None, None, :, None], (64, 3, frames, 1))
    moved = np.asarray(augment.shift(keys(3, 64), log_mel, max_share=0.25))[..., 0]
    first = moved[:, 0, 0]
    np.testing.assert_array_equal(
        moved, (first[:, None, None] + np.arange(frames)) % frames * 1.0 + np.zeros((1, 3, 1))
    )
    assert set((-first) % frames) == {*range(6), *range(15, 20)}


def test_mix_style_swaps_only_the_level_and_range_of_bands():
    log_mel = 3 + 2 * jax.random.normal(jax.random.key(6), (32, 5, 40, 1))
    log_mel = log_mel * jnp.linspace(1, 2, 32)[:, None, None, None]
    mixed = augment.mix_style(jax.random.key(7), log_mel, alpha=0.4, share=0.5)
    same = np.asarray((mixed == log_mel).all(axis=(1, 2, 3)))
    assert 8 < same.sum() < 24
    # A band's course in time stays, up to its level and range.
    for before, after in zip(log_mel[~same], mixed[~same], strict=True):
        for one, other in zip(before[..., 0], after[..., 0], strict=True):
            assert np.corrcoef(one, other)[0, 1] > 0.9999
    # Both move on the line from an example's own to one partner's, by the same share in each band.
    means, deviations = np.asarray(mixed.mean(2)[..., 0]), np.asarray(mixed.std(2)[..., 0])
    own, own_deviations = np.asarray(log_mel.mean(2)[..., 0]), np.asarray(log_mel.std(2)[..., 0])
    styles = np.concatenate([own, own_deviations], axis=1)
    for index in np.flatnonzero(~same):
        moved = np.concatenate([means[index], deviations[index]]) - styles[index]
        lines = styles - styles[index]
        shares = lines @ moved / np.maximum((lines**2).sum(1), 1e-9)
        rest = np.abs(moved - shares[:, None] * lines).max(1)
        best = rest.argmin()
        assert rest[best] < 1e-3
        assert -1e-3 <= shares[best] <= 1 + 1e-3


def test_augmentation_with_everything_off_is_the_identity():
    log_mel, labels = jnp.ones((2, 4, 5, 1)), jnp.eye(2)
    out = augment.augment(jax.random.key(0), log_mel, labels, **NO_AUGMENTATION)
    np.testing.assert_array_equal(out[0], log_mel)
    np.testing.assert_array_equal(out[1], labels)


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_draws_belong_to_examples_and_not_to_devices(num_devices):
    log_mel = jax.random.normal(jax.random.key(4), (8, 16, 12, 1))
    labels = jnp.eye(8)

    def step(key, batch):
        return augment.augment(key, *batch, axis_name=AXIS, **ALL_AUGMENTATION)

    key = jax.random.key(5)
    expected = jax.jit(lambda *a: augment.augment(key, *a, **ALL_AUGMENTATION))(log_mel, labels)
    devices = local_devices(num_devices)
    on_many = pmap(step, devices)(replicate(key, devices), shard((log_mel, labels), num_devices))
    for many, whole in zip(on_many, expected, strict=True):
        np.testing.assert_allclose(many.reshape(whole.shape), whole, rtol=1e-6, atol=1e-6)

    # What dropout and augmentation draw from: the same to the bit.
    def draw(key):
        return jax.random.key_data(example_keys(key, 8 // num_devices, AXIS))

    drawn = pmap(draw, devices)(replicate(key, devices))
    np.testing.assert_array_equal(drawn.reshape(8, -1), jax.random.key_data(keys(5, 8)))
