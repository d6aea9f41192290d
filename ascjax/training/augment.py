"""Augmentation of a training batch in the compiled step: shift, SpecAugment, mixup (pure)."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def augment(
    key: Key[Array, ""],
    log_mel: Float[Array, "batch mel frame 1"],
    targets: Float[Array, "batch scene"],
    *,
    max_shift: float,
    mixup_alpha: float,
    **masks: Any,
) -> tuple[Float[Array, "batch mel frame 1"], Float[Array, "batch scene"]]:
    """Returns the batch after all that ``config.augment`` asks for; each part is off at 0.

    Args:
      key: new for every batch.
      log_mel: normalised.
      targets: distributions over scenes.
      max_shift: see ``shift``.
      mixup_alpha: see ``mixup``.
      **masks: see ``spec_augment``.
    """
    shift_key, mask_key, mixup_key = jax.random.split(key, 3)
    if max_shift > 0:
        log_mel = shift(shift_key, log_mel, max_share=max_shift)
    log_mel = spec_augment(mask_key, log_mel, **masks)
    if mixup_alpha > 0:
        log_mel, targets = mixup(mixup_key, log_mel, targets, alpha=mixup_alpha)
    return log_mel, targets


def _mask(
    key: Key[Array, ""], batch: int, length: int, max_width: int
) -> Float[Array, "batch length"]:
    """Returns 0 inside one random stretch for each example and 1 elsewhere."""
    width_key, start_key = jax.random.split(key)
    width = jax.random.randint(width_key, (batch, 1), 0, min(max_width, length) + 1)
    start = jnp.floor(jax.random.uniform(start_key, (batch, 1)) * (length - width + 1))
    position = jnp.arange(length)[None, :]
    return jnp.where((position >= start) & (position < start + width), 0.0, 1.0)


def spec_augment(
    key: Key[Array, ""],
    log_mel: Float[Array, "batch mel frame 1"],
    *,
    num_mel_masks: int,
    max_mel_mask: int,
    num_frame_masks: int,
    max_frame_mask: int,
) -> Float[Array, "batch mel frame 1"]:
    """Masks random stretches of mel bands and of frames with zero, the mean of normalised features.

    SpecAugment (Park et al., 2019, doi:10.21437/Interspeech.2019-2680) without time warping. Widths
    are uniform in 0..max, of each mask and example anew.
    """
    batch, mels, frames, _ = log_mel.shape
    for i in range(num_mel_masks):
        mask = _mask(jax.random.fold_in(key, 2 * i), batch, mels, max_mel_mask)
        log_mel = log_mel * mask[:, :, None, None]
    for i in range(num_frame_masks):
        mask = _mask(jax.random.fold_in(key, 2 * i + 1), batch, frames, max_frame_mask)
        log_mel = log_mel * mask[:, None, :, None]
    return log_mel


def shift(
    key: Key[Array, ""], log_mel: Float[Array, "batch mel frame 1"], *, max_share: float
) -> Float[Array, "batch mel frame 1"]:
    """Moves each example in time, what leaves at one end coming in at the other.

    By a uniform number of frames up to ``max_share`` (0..1) of them, forward or back.
    """
    frames = log_mel.shape[2]
    limit = round(max_share * frames)
    steps = jax.random.randint(key, (len(log_mel), 1), -limit, limit + 1)
    source = (jnp.arange(frames)[None, :] - steps) % frames
    return jnp.take_along_axis(log_mel, source[:, None, :, None], axis=2)


def mixup(
    key: Key[Array, ""],
    log_mel: Float[Array, "batch mel frame 1"],
    targets: Float[Array, "batch scene"],
    *,
    alpha: float,
) -> tuple[Float[Array, "batch mel frame 1"], Float[Array, "batch scene"]]:
    """Mixes each example with another one of the batch, by one Beta(alpha, alpha) share a pair.

    Mixup (Zhang et al., 2018, arXiv:1710.09412). ``targets`` are distributions over scenes.
    """
    share_key, order_key = jax.random.split(key)
    batch = log_mel.shape[0]
    share = jax.random.beta(share_key, alpha, alpha, (batch, 1))
    order = jax.random.permutation(order_key, batch)
    pixels = share[:, :, None, None]
    return (
        pixels * log_mel + (1 - pixels) * log_mel[order],
        share * targets + (1 - share) * targets[order],
    )
