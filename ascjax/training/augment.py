"""Augmentation of a training batch: shift, SpecAugment, Freq-MixStyle, mixup (pure).

Every draw belongs to an example, by its position in the batch over all devices
(``devices.example_keys``), so that results don't depend on how many share the batch.
``axis_name`` is the mapped axis, or None outside a mapped step.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ascjax.compute.devices import all_gather, batch_positions, example_keys

_STYLE = 3  # a stream of its own beside the three of the split below
# Added to a variance under a square root, as in MixStyle's published code.
_EPSILON = 1e-6


def augment(
    key: Key[Array, ""],
    log_mel: Float[Array, "batch mel frame 1"],
    labels: Float[Array, "batch scene"],
    *,
    max_shift: float,
    mixup_alpha: float,
    mix_style_alpha: float,
    mix_style_share: float,
    axis_name: str | None = None,
    **masks: Any,
) -> tuple[Float[Array, "batch mel frame 1"], Float[Array, "batch scene"]]:
    """Returns this device's share of the batch after every augmentation that isn't 0.

    Args:
      key: the step's.
      log_mel: normalised.
      labels: distributions over scenes.
      max_shift: see ``shift``.
      mixup_alpha: see ``mixup``.
      mix_style_alpha: see ``mix_style``.
      mix_style_share: see ``mix_style``.
      axis_name: the mapped axis, or None.
      **masks: see ``spec_augment``.
    """
    shift_key, mask_key, mixup_key = jax.random.split(key, 3)
    batch = len(log_mel)
    if max_shift > 0:
        keys = example_keys(shift_key, batch, axis_name)
        log_mel = shift(keys, log_mel, max_share=max_shift)
    log_mel = spec_augment(example_keys(mask_key, batch, axis_name), log_mel, **masks)
    if mix_style_alpha > 0:
        style_key = jax.random.fold_in(key, _STYLE)  # leaves the other draws as they are
        log_mel = mix_style(
            style_key, log_mel, alpha=mix_style_alpha, share=mix_style_share, axis_name=axis_name
        )
    if mixup_alpha > 0:
        log_mel, labels = mixup(mixup_key, log_mel, labels, alpha=mixup_alpha, axis_name=axis_name)
    return log_mel, labels


def spec_augment(
    keys: Key[Array, " batch"],
    log_mel: Float[Array, "batch mel frame 1"],
    *,
    num_mel_masks: int,
    max_mel_mask: int,
    num_frame_masks: int,
    max_frame_mask: int,
) -> Float[Array, "batch mel frame 1"]:
    """Masks random stretches of mel bands and of frames with zero, the mean of normalised features.

    SpecAugment (Park et al., 2019, doi:10.21437/Interspeech.2019-2680) without time warping. Widths
    are uniform in 0..max, drawn for each mask of each example.
    """
    _, mels, frames, _ = log_mel.shape
    for i in range(num_mel_masks):
        mask = _masks(keys, 2 * i, mels, max_mel_mask)
        log_mel = log_mel * mask[:, :, None, None]
    for i in range(num_frame_masks):
        mask = _masks(keys, 2 * i + 1, frames, max_frame_mask)
        log_mel = log_mel * mask[:, None, :, None]
    return log_mel


def _masks(
    keys: Key[Array, " batch"], index: int, length: int, max_width: int
) -> Float[Array, "batch length"]:
    """Returns 0 inside one random stretch for each example and 1 elsewhere."""

    def mask(key: Key[Array, ""]) -> Float[Array, " length"]:
        width_key, start_key = jax.random.split(jax.random.fold_in(key, index))
        width = jax.random.randint(width_key, (), 0, min(max_width, length) + 1)
        start = jnp.floor(jax.random.uniform(start_key) * (length - width + 1))
        position = jnp.arange(length)
        return jnp.where((position >= start) & (position < start + width), 0.0, 1.0)

    return jax.vmap(mask)(keys)


def shift(
    keys: Key[Array, " batch"], log_mel: Float[Array, "batch mel frame 1"], *, max_share: float
) -> Float[Array, "batch mel frame 1"]:
    """Rolls each example in time: what leaves at one end comes in at the other.

    By a uniform number of frames up to ``max_share`` (0..1) of them, forward or back.
    """
    frames = log_mel.shape[2]
    limit = round(max_share * frames)
    steps = jax.vmap(lambda key: jax.random.randint(key, (), -limit, limit + 1))(keys)
    source = (jnp.arange(frames)[None, :] - steps[:, None]) % frames
    return jnp.take_along_axis(log_mel, source[:, None, :, None], axis=2)


def mixup(
    key: Key[Array, ""],
    log_mel: Float[Array, "batch mel frame 1"],
    labels: Float[Array, "batch scene"],
    *,
    alpha: float,
    axis_name: str | None = None,
) -> tuple[Float[Array, "batch mel frame 1"], Float[Array, "batch scene"]]:
    """Mixes each example with another one of the batch, by one Beta(alpha, alpha) share a pair.

    Mixup (Zhang et al., 2018, arXiv:1710.09412). Partners are drawn from the batch over all
    devices, by one permutation that every device knows.

    Args:
      key: the step's.
      log_mel: this device's share of the batch.
      labels: distributions over scenes.
      alpha: of the Beta distribution; the smaller, the less is mixed.
      axis_name: the mapped axis, or None.
    """
    share_key, order_key = jax.random.split(key)
    share_keys = example_keys(share_key, len(log_mel), axis_name)
    share = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha, (1,)))(share_keys)
    all_log_mels, all_labels = all_gather(log_mel, axis_name), all_gather(labels, axis_name)
    order = jax.random.permutation(order_key, len(all_log_mels))
    partners = order[batch_positions(len(log_mel), axis_name)]
    pixels = share[:, :, None, None]
    return (
        pixels * log_mel + (1 - pixels) * all_log_mels[partners],
        share * labels + (1 - share) * all_labels[partners],
    )


def mix_style(
    key: Key[Array, ""],
    log_mel: Float[Array, "batch mel frame 1"],
    *,
    alpha: float,
    share: float,
    axis_name: str | None = None,
) -> Float[Array, "batch mel frame 1"]:
    """Gives examples a mean and deviation of each mel band between their own and another one's.

    Freq-MixStyle (Schmid et al., "Knowledge distillation from transformers for low-complexity
    acoustic scene classification", DCASE 2022): MixStyle (Zhou et al., 2021, arXiv:2104.02008) over
    mel bands instead of feature maps. What a microphone does to the spectrum changes, the scene's
    label doesn't. With m and d an example's mean and deviation over time in a band, m' and d' its
    partner's, and λ from Beta(alpha, alpha), one an example:

        (x − m) / d · (λ d + (1 − λ) d') + λ m + (1 − λ) m'

    Args:
      key: the step's.
      log_mel: this device's share of the batch.
      alpha: of the Beta distribution; the published 0.4 mixes most examples little.
      share: probability that an example is changed, 0..1.
      axis_name: the mapped axis, or None.
    """
    weight_key, chosen_key, order_key = jax.random.split(key, 3)
    batch = len(log_mel)
    mean = log_mel.mean(axis=2, keepdims=True)
    deviation = jnp.sqrt(log_mel.var(axis=2, keepdims=True) + _EPSILON)
    weights = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha, (1, 1, 1)))(
        example_keys(weight_key, batch, axis_name)
    )
    chosen = jax.vmap(lambda key: jax.random.bernoulli(key, share, (1, 1, 1)))(
        example_keys(chosen_key, batch, axis_name)
    )
    styles = jnp.stack([mean, deviation], axis=1)
    everyone = all_gather(styles, axis_name)
    order = jax.random.permutation(order_key, len(everyone))
    others = everyone[order[batch_positions(batch, axis_name)]]
    weights = weights[:, None]
    mixed = weights * styles + (1 - weights) * others
    changed = (log_mel - mean) / deviation * mixed[:, 1] + mixed[:, 0]
    return jnp.where(chosen, changed, log_mel)
