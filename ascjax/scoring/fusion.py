"""Posteriors → scores: one decision for a recording from all its channels and fragments.

The paper averages (section 2): over the fragments of a channel first, over the channels then. Every
other method here answers "what if we had fused otherwise" without running a model again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ascjax.errors import choose

# Below this a posterior counts as this much when logarithms are taken: a softmax in float32 that
# underflows to 0 must not veto a scene for ever.
LOG_FLOOR = float(np.finfo(np.float32).tiny)
# What the mean posterior weighs beside one vote: enough to part equal votes, never to outvote one.
TIE_WEIGHT = 1e-6


def _mean(posteriors: Any) -> Any:
    """Arithmetic mean, the paper's choice."""
    return posteriors.mean(axis=-2)


def _log_mean(posteriors: Any) -> Any:
    """Geometric mean: every item counts as independent evidence."""
    xp = namespace(posteriors)
    logs = xp.log(xp.maximum(posteriors, LOG_FLOOR)).mean(axis=-2)
    return xp.exp(logs - logs.max(axis=-1, keepdims=True))


def _max(posteriors: Any) -> Any:
    """The surest item decides for each scene."""
    return posteriors.max(axis=-2)


def _median(posteriors: Any) -> Any:
    """Median of each scene; the mean where items disagree so much that every median is 0."""
    xp = namespace(posteriors)
    ranked, count = xp.sort(posteriors, axis=-2), posteriors.shape[-2]
    below, above = (ranked[..., i : i + 1, :] for i in ((count - 1) // 2, count // 2))
    median = (below + above)[..., 0, :] / 2
    return xp.where((median > 0).any(axis=-1, keepdims=True), median, _mean(posteriors))


def _vote(posteriors: Any) -> Any:
    """One vote an item for its likeliest scene, shared among equals; the mean parts equal votes."""
    likeliest = posteriors == posteriors.max(axis=-1, keepdims=True)
    votes = (likeliest / likeliest.sum(axis=-1, keepdims=True)).sum(axis=-2)
    return votes + TIE_WEIGHT * _mean(posteriors)


# Each maps posteriors [..., item, scene] to weights [..., scene] ≥ 0; `fuse` makes them sum to 1.
# Arrays are NumPy's, or JAX's in a graph to export.
METHODS: dict[str, Callable[[Any], Any]] = {
    "mean": _mean,
    "log_mean": _log_mean,
    "max": _max,
    "median": _median,
    "vote": _vote,
}


@dataclass(frozen=True)
class Fusion:
    """How the fragments of a channel are fused and then the channels: keys of ``METHODS``."""

    fragments: str = "mean"
    channels: str = "mean"

    def __post_init__(self) -> None:
        if not {self.fragments, self.channels} <= METHODS.keys():
            raise ValueError(f"expected methods of fusion among {', '.join(METHODS)}")


def fuse(
    posteriors: Float[np.ndarray, "recording channel fragment scene"],
    *,
    fragments: str = "mean",
    channels: str = "mean",
) -> Float[np.ndarray, "recording scene"]:
    """Fuses posteriors over fragments, then over channels (paper, section 2).

    Args:
      posteriors: softmax outputs in 0..1, each summing to 1 over scenes.
      fragments: a key of ``METHODS``, how the fragments of one channel are fused.
      channels: a key of ``METHODS``, how the channels' scores are fused after that.

    Returns:
      Scores in float64, ≥ 0 and summing to 1 over scenes. After ``vote`` the largest score is right
      but its size is a share of votes, not a probability.

    Raises:
      UserError: an unknown method.
      ValueError: ``posteriors`` are none (see ``check_posteriors``).

    Example:
      >>> import numpy as np
      >>> two_fragments = np.array([[[[0.9, 0.1], [0.5, 0.5]]]])  # 1 recording, 1 channel
      >>> fuse(two_fragments).round(2).tolist()
      [[0.7, 0.3]]
    """
    posteriors = np.asarray(posteriors)
    choose("fusion of channels", channels, METHODS)
    check_posteriors(posteriors)
    return fuse_channels(fuse_fragments(posteriors, fragments), channels)


def fuse_fragments(
    posteriors: Float[Any, "recording channel fragment scene"], method: str = "mean"
) -> Float[Any, "recording channel scene"]:
    """Returns each channel's scores, its fragments fused; raises as ``fuse`` on an unknown name.

    This, `fuse_channels` and `calibration.temper` take arrays of JAX too, within a graph to export.
    """
    return _normalised(choose("fusion of fragments", method, METHODS)(widened(posteriors)))


def fuse_channels(
    by_channel: Float[Any, "recording channel scene"], method: str = "mean"
) -> Float[Any, "recording scene"]:
    """Returns the scores of recordings, their channels' scores fused."""
    return _normalised(choose("fusion of channels", method, METHODS)(by_channel))


def check_posteriors(posteriors: np.ndarray) -> None:
    """Raises ValueError unless ``posteriors`` is a whole set of them.

    That is: four axes, none of length 0; all finite, ≥ 0 and, within 1e-3, summing to 1 over the
    last.
    """
    if posteriors.ndim != 4 or 0 in posteriors.shape:
        raise ValueError(
            "expected posteriors [recording, channel, fragment, scene], none of length 0; "
            f"got shape {posteriors.shape}"
        )
    bad = ~np.isfinite(posteriors).all(axis=(1, 2, 3))
    if bad.any():
        raise ValueError(
            f"posteriors of {bad.sum()} of {len(bad)} recordings are not finite; "
            f"the first is recording {bad.argmax()}"
        )
    sums = posteriors.sum(axis=-1, dtype=np.float64)
    if posteriors.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise ValueError(
            "posteriors must be ≥ 0 and sum to 1 over scenes; "
            f"got a minimum of {posteriors.min():.3g} and sums from {sums.min():.3g} to "
            f"{sums.max():.3g} (are these logits?)"
        )


def namespace(values: Any) -> Any:
    """Returns ``numpy`` or ``jax.numpy``, whichever an array is of."""
    return values.__array_namespace__()


def widened(values: Any) -> Any:
    """Returns an array in float64 if it is NumPy's; JAX has no more than float32 by default."""
    return values.astype(np.float64) if isinstance(values, np.ndarray) else values


def _normalised(weights: Any) -> Any:
    return weights / weights.sum(axis=-1, keepdims=True)
