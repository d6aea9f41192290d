"""Pooled features of each block of a trunk as it starts, before any training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float
from tqdm import tqdm

from ascjax.data import batches
from ascjax.data.batches import Fragments
from ascjax.data.normalisation import normalise
from ascjax.models import TRUNKS
from ascjax.setup import Data, Setup
from ascjax.setup import network as builders
from ascjax.signals import StopRequest

# The block before the first: mean and deviation over time of each normalised mel band.
INPUT = "input"


def names(trunk: str) -> list[str]:
    """Returns ``input`` and the names of a trunk's blocks, in order."""
    return [INPUT, *TRUNKS[trunk].blocks]


def of_parts(
    setup: Setup,
    data: Data,
    weights_file: Path | None,
    mean: np.ndarray,
    deviation: np.ndarray,
    stop: StopRequest,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the features of the training and the test part, by block in order.

    Args:
      setup: of the config; its seed draws random weights.
      data: the parts.
      weights_file: converted weights that the trunk starts from, or None for random ones.
      mean: float32 [mel], with ``deviation`` the normalisation.
      deviation: float32 [mel].
      stop: asked after every batch.

    Returns:
      ``input`` and each block's name → float32 [recording, feature] of both parts: feature maps
      averaged over mel and time, and over a recording's fragments and channels.

    Raises:
      UserError: the weights don't fit.
      Stopped: a stop was requested.
    """
    config = setup.config.copy_and_resolve_references()
    if weights_file is None:
        config.init.weights = "random"
    made = builders.networks(config, weights_file, len(data.dataset.scenes), setup.input_shape)
    of_batch = jax.jit(_pooled(made.evaluation, names(config.model.trunk)[1:]))
    inputs = jax.device_put((made.variables, mean, deviation))

    def of_part(part: Fragments) -> dict[str, np.ndarray]:
        batch_size = config.eval.batch_size
        taken: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        stream = batches.evaluation(part, batch_size=batch_size)
        # tqdm's None: no bar where stderr is no terminal.
        for batch in tqdm(stream, total=-(-len(part) // batch_size), unit="batch", disable=None):
            for name, values in of_batch(*inputs, batch["log_mel"]).items():
                taken.setdefault(name, []).append((batch["example"], np.asarray(values)))
            stop.check("while computing features; those of earlier folds are kept")
        return {
            name: batches.gather(taken[name], part.shape).mean(axis=(1, 2))
            for name in names(config.model.trunk)  # JAX sorts the keys
        }

    train, test = of_part(data.train), of_part(data.test)
    return {name: (train[name], test[name]) for name in train}


def _pooled(model: nn.Module, blocks: Sequence[str]) -> Any:
    """Returns a function of variables, normalisation and log-mels: features by block."""
    paths = [("trunk", block) for block in blocks]

    def apply(
        variables: Any,
        mean: Float[Array, " mel"],
        deviation: Float[Array, " mel"],
        log_mel: Float[Array, "batch mel frame 1"],
    ) -> dict[str, Float[Array, "batch feature"]]:
        normalised = normalise(log_mel, mean, deviation)
        _, captured = model.apply(
            variables,
            normalised,
            train=False,
            capture_intermediates=lambda module, _: module.path in paths,
        )
        by_band, maps = normalised[..., 0], captured["intermediates"]["trunk"]
        statistics = jnp.concatenate([by_band.mean(-1), by_band.std(-1)], axis=-1)
        return {INPUT: statistics} | {
            block: maps[block]["__call__"][0].astype(jnp.float32).mean((1, 2)) for block in blocks
        }

    return apply
