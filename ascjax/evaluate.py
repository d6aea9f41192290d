"""Evaluation: the posteriors of every fragment of every channel of a part, in one array."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32
from tqdm import tqdm

from ascjax import fusion, metrics, parallel
from ascjax.data import batches
from ascjax.train import normalise


def make_eval_step(
    model: nn.Module, mean: np.ndarray, deviation: np.ndarray, *, over: list[jax.Device]
) -> Callable:
    """Returns ``step(variables, log_mel)``, both with a device axis, giving posteriors."""

    def step(
        variables: Any, log_mel: Float[Array, "batch mel frame 1"]
    ) -> Float[Array, "batch scene"]:
        logits = model.apply(variables, normalise(log_mel, mean, deviation), train=False)
        return jax.nn.softmax(logits)

    return parallel.spread(step, over)


def posteriors(
    eval_step: Callable,
    variables: Any,
    fragments: batches.Fragments,
    *,
    batch_size: int,
    num_devices: int,
    describe: str | None = None,
) -> Float32[np.ndarray, "recording channel fragment scene"]:
    """Runs the model over every fragment of a part, each exactly once.

    Args:
      eval_step: from ``make_eval_step``.
      variables: replicated over the devices of ``eval_step``.
      fragments: the part.
      batch_size: examples a step over all devices; any size, the last batch is padded.
      num_devices: of ``eval_step``.
      describe: label of a progress bar, or None for no bar.
    """
    results = []
    steps = -(-len(fragments) // batch_size)
    stream = batches.evaluation(fragments, batch_size=batch_size)
    for batch in tqdm(stream, total=steps, desc=describe, unit="step", disable=describe is None):
        values = eval_step(variables, parallel.shard(batch["log_mel"], num_devices))
        results.append((batch["example"], values))
    fetched = [(e, np.asarray(v).reshape(len(e), -1)) for e, v in results]
    return batches.gather(fetched, fragments.shape)


def score(
    values: Float32[np.ndarray, "recording channel fragment scene"],
    labels: np.ndarray,
    *,
    fragment_fusion: str,
    channel_fusion: str,
) -> dict[str, float]:
    """Returns the accuracy and log loss of fused posteriors, named as validation numbers."""
    scores = fusion.fuse(values, fragments=fragment_fusion, channels=channel_fusion)
    return {
        "validation/accuracy": float(np.mean(scores.argmax(-1) == labels)),
        "validation/loss": metrics.log_loss(scores, labels),
    }
