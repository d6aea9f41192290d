"""A run's trained network, restored from its folder alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32

from ascjax import models
from ascjax.data.fragments import layout
from ascjax.data.normalisation import normalise
from ascjax.models import variables
from ascjax.runs.run import Run

MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its variables and normalisation.

    Attributes:
      model: returns logits for normalised log-mels.
      variables: float32 {params[, batch_stats]}.
      mean, deviation: float32 [mel], of the training part.
    """

    model: nn.Module
    variables: Any
    mean: np.ndarray
    deviation: np.ndarray

    def __call__(
        self, log_mel: Float32[np.ndarray, "batch mel frame 1"]
    ) -> tuple[Float[np.ndarray, "batch scene"], Float[np.ndarray, "batch feature"]]:
        """Returns posteriors, and the trunk's feature maps averaged over mel and time."""
        posteriors, embeddings = self._apply(self.variables, self.mean, self.deviation, log_mel)
        return np.asarray(posteriors), np.asarray(embeddings)

    @cached_property
    def _apply(self) -> Callable:
        return jax.jit(partial(_apply, self.model))


def _apply(
    model: nn.Module,
    variables: Any,
    mean: Float[Array, " mel"],
    deviation: Float[Array, " mel"],
    log_mel: Float[Array, "batch mel frame 1"],
) -> tuple[Float[Array, "batch scene"], Float[Array, "batch feature"]]:
    logits, captured = model.apply(
        variables,
        normalise(log_mel, mean, deviation),
        train=False,
        capture_intermediates=lambda module, _: module.name == "trunk",
    )
    (features,) = captured["intermediates"]["trunk"]["__call__"]
    return jax.nn.softmax(logits), features.astype(jnp.float32).mean((1, 2))


def fragment_shape(run: Run, fragments: int | None = None) -> tuple[int, int]:
    """Returns the shape [mel, frame] of a fragment of a run's recordings.

    Args:
      run: the run.
      fragments: N_s, if not the run's own.

    Raises:
      UserError: the trunk needs more frames than such a fragment has.
    """
    front_end, info = run.front_end, run.info
    num_frames = front_end.num_frames(round(info.duration_s * front_end.sample_rate_hz))
    width, _ = layout(num_frames, fragments or info.fragments, info.overlap)
    models.check_input(info.model.trunk, front_end.num_mels, width)
    return front_end.num_mels, width


def restore(run: Run, fragments: int | None = None) -> TrainedNetwork:
    """Returns the network of a finished run, as it was tested.

    Args:
      run: the run; nothing is written into its folder.
      fragments: N_s, if not the run's own.

    Raises:
      UserError: model.safetensors is missing or damaged, or as `fragment_shape`.
    """
    settings = run.info.model
    model = models.create_model(
        trunk=settings.trunk,
        head=settings.head,
        num_scenes=len(run.info.scenes),
        head_width=settings.head_width,
        dropout=settings.dropout,
        compute_dtype=settings.compute_dtype,
        planes=settings.planes,
    )
    shape = (1, *fragment_shape(run, fragments), 1)
    example = jax.ShapeDtypeStruct(shape, np.float32)
    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), example)
    restored = variables.load(run.path / MODEL_FILE, like, run.results.model_sha256)
    normalisation = run.info.normalisation
    return TrainedNetwork(
        model,
        restored,
        np.array(normalisation.mean, np.float32),
        np.array(normalisation.deviation, np.float32),
    )
