"""A run's trained network, restored from its folder alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from ascjax import models
from ascjax.data.fragments import layout
from ascjax.data.normalisation import normalise
from ascjax.errors import UserError
from ascjax.models import variables
from ascjax.runs.folder import TRAIN_AGAIN
from ascjax.runs.info import Model
from ascjax.runs.run import Run

if TYPE_CHECKING:
    from ascjax.data.batches import Fragments

MODEL_FILE = "model.safetensors"
# Examples that go through the network together where a whole part does.
_BATCH = 32


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its variables and normalisation, on JAX's default device.

    Attributes:
      program: compiled once for all networks of the same settings.
      variables: float32 {params[, batch_stats]}.
      mean, deviation: float32 [mel], of the training part.
    """

    program: Any
    variables: Any
    mean: Any
    deviation: Any

    @classmethod
    def of(
        cls, settings: Model, num_scenes: int, variables: Any, mean: Any, deviation: Any
    ) -> "TrainedNetwork":
        """Puts variables and normalisation on the device, once for all calls."""
        placed = jax.device_put((variables, np.float32(mean), np.float32(deviation)))
        return cls(_program(settings, num_scenes), *placed)

    def __call__(
        self, log_mel: Float32[np.ndarray, "batch mel frame 1"]
    ) -> tuple[
        Float32[np.ndarray, "batch scene"],
        Float32[np.ndarray, "batch feature"],
        Float32[np.ndarray, "batch statistic"],
    ]:
        """Applies the network.

        Returns:
          Posteriors; the trunk's feature maps averaged over mel and time; and of the normalised
          input, the mean and the deviation over time of each mel band.
        """
        values = self.program(self.variables, self.mean, self.deviation, log_mel)
        posteriors, features, statistics = map(np.asarray, values)
        return posteriors, features, statistics

    def of_part(
        self, part: "Fragments"
    ) -> tuple[
        Float32[np.ndarray, "recording channel fragment scene"],
        Float32[np.ndarray, "recording feature"],
        Float32[np.ndarray, "recording statistic"],
    ]:
        """Returns the posteriors of a part's recordings, their features and their statistics.

        The latter two are means over a recording's channels and fragments; see `__call__`.
        """
        padded = np.full(-(-len(part) // _BATCH) * _BATCH, -1)
        padded[: len(part)] = np.arange(len(part))
        batches = (part.take(examples)["log_mel"] for examples in padded.reshape(-1, _BATCH))
        posteriors, features, statistics = (
            np.concatenate(values)[: len(part)].reshape(*part.shape, -1)
            for values in zip(*map(self, batches), strict=True)
        )
        return posteriors, features.mean(axis=(1, 2)), statistics.mean(axis=(1, 2))


@cache
def _program(settings: Model, num_scenes: int) -> Any:
    """Returns what `network_of` does, compiled."""
    return jax.jit(network_of(settings, num_scenes))


def network_of(settings: Model, num_scenes: int, convolutions: str = "auto") -> Callable[..., Any]:
    """Returns the network as a function of variables, normalisation and log-mels.

    See `TrainedNetwork` for what it returns, `models.create_model` for ``convolutions``.
    """
    model = models.create_model(
        trunk=settings.trunk,
        head=settings.head,
        num_scenes=num_scenes,
        head_width=settings.head_width,
        dropout=settings.dropout,
        compute_dtype=settings.compute_dtype,
        planes=settings.planes,
        convolutions=convolutions,
    )

    def apply(
        variables: Any,
        mean: Float[Array, " mel"],
        deviation: Float[Array, " mel"],
        log_mel: Float[Array, "batch mel frame 1"],
    ) -> tuple[
        Float[Array, "batch scene"], Float[Array, "batch feature"], Float[Array, "batch statistic"]
    ]:
        normalised = normalise(log_mel, mean, deviation)
        logits, captured = model.apply(
            variables,
            normalised,
            train=False,
            capture_intermediates=lambda module, _: module.name == "trunk",
        )
        (features,) = captured["intermediates"]["trunk"]["__call__"]
        by_band = normalised[..., 0]
        statistics = jnp.concatenate([by_band.mean(-1), by_band.std(-1)], axis=-1)
        return models.posteriors(logits), features.astype(jnp.float32).mean((1, 2)), statistics

    return apply


def fragment_shape(run: Run, fragments: int | None = None) -> tuple[int, int]:
    """Returns the shape [mel, frame] of a fragment of a run's recordings.

    Args:
      run: the run.
      fragments: N_s, if not the run's own.

    Raises:
      UserError: there are more fragments than frames, or the trunk needs more frames than such a
        fragment has.
    """
    front_end, info = run.front_end, run.info
    num_frames = front_end.num_frames(round(info.duration_s * front_end.sample_rate_hz))
    count = fragments or info.fragments
    if num_frames < count:
        raise UserError(
            f"{run.path}: expected 1 to {num_frames} fragments, the frames of a {info.unit} of "
            f"{info.duration_s:g} s, got {count}; choose fewer, or another run"
        )
    width, _ = layout(num_frames, count, info.overlap)
    models.check_input(info.model.trunk, front_end.num_mels, width)
    return front_end.num_mels, width


def restore(run: Run, fragments: int | None = None) -> TrainedNetwork:
    """Returns the network of a finished run, as it was tested.

    Args:
      run: the run; nothing is written into its folder.
      fragments: N_s, if not the run's own.

    Raises:
      UserError: model.safetensors is missing, damaged or another network's, or as
        `fragment_shape`.
    """
    shape = fragment_shape(run, fragments)
    path, normalisation = run.path / MODEL_FILE, run.info.normalisation
    network = TrainedNetwork.of(
        run.info.model,
        len(run.info.scenes),
        variables.load(path, run.trained.model_sha256),
        normalisation.mean,
        normalisation.deviation,
    )
    try:
        # The first call would trace it anyway.
        network.program.trace(
            network.variables,
            network.mean,
            network.deviation,
            jax.ShapeDtypeStruct((1, *shape, 1), np.float32),
        )
    except flax.errors.FlaxError:
        raise UserError(
            f"{path}: its variables aren't those of the network in run.json; {TRAIN_AGAIN}"
        ) from None
    return network
