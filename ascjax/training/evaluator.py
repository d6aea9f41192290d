"""Evaluation: the posteriors of every fragment of every channel of a split, in one array."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32
from tqdm import tqdm

from ascjax import models
from ascjax.compute import processes, rounds
from ascjax.compute.devices import local, local_values, pmap, replicate, share
from ascjax.data import batches
from ascjax.data.normalisation import normalise
from ascjax.errors import UserError
from ascjax.scoring import fusion, metrics
from ascjax.signals import StopRequest

# Rounds whose posteriors are not fetched yet: devices never wait, and inputs never pile up on them.
_ROUNDS_IN_FLIGHT = 2


class NonFinitePosteriors(UserError):
    """A network gives posteriors that are NaN or infinite."""


@dataclass(frozen=True)
class Evaluator:
    """Computes posteriors; compiled once, as every batch has the same shape.

    The normalisation is an input, so that the folds of a set share the compiled program.

    Attributes:
      model: returns logits [batch, scene] for log-mels [batch, mel, frame, 1].
      mean: float32 [mel], with ``deviation`` the normalisation of training.
      deviation: float32 [mel].
      devices: the devices that share each batch.
      batch_size: examples in a step over all devices; any multiple of their number.
    """

    model: nn.Module
    mean: Float[Array | np.ndarray, " mel"]
    deviation: Float[Array | np.ndarray, " mel"]
    devices: list[jax.Device]
    batch_size: int

    def __call__(
        self,
        variables: Any,
        fragments: batches.Fragments,
        *,
        describe: str | None = None,
        stop: StopRequest | None = None,
    ) -> Float32[np.ndarray, "recording channel fragment scene"]:
        """Runs the model over every fragment of a split, each exactly once.

        Args:
          variables: the model's, replicated over the devices.
          fragments: the split.
          describe: label of a progress bar, or None for no bar.
          stop: asked after each round of steps, if given.

        Raises:
          Stopped: a stop was requested; nothing is kept.
          NonFinitePosteriors: a posterior is NaN or infinite.
        """
        steps = -(-len(fragments) // self.batch_size)
        mine = share(self.batch_size, self.devices)
        shared = len(local(self.devices)) < len(self.devices)  # with other processes
        stream = batches.evaluation(fragments, batch_size=self.batch_size, share=mine)
        # tqdm's None: no bar where stderr is no terminal.
        hidden = True if describe is None else None
        bar = iter(tqdm(stream, total=steps, desc=describe, unit="step", disable=hidden))
        length = rounds.max_steps(self.devices)
        dispatched: list[tuple[list[np.ndarray], jax.Array]] = []
        fetched: list[tuple[np.ndarray, np.ndarray]] = []
        while taken := list(islice(bar, length)):
            log_mels = [batch["log_mel"] for batch in taken]
            round_ = rounds.stack(log_mels, length, len(local(self.devices)))
            values = self._round(variables, {**round_, "inputs": self._inputs})
            dispatched.append(([batch["example"] for batch in taken], values))
            if len(dispatched) > _ROUNDS_IN_FLIGHT:
                fetched += _fetch(*dispatched.pop(0))
            if stop is not None and (stop.agreed() if shared else stop.requested):
                stop.check("while testing; training is done and saved")
        for each in dispatched:
            fetched += _fetch(*each)
        if shared:
            fetched = [
                processes.concatenate(tuple(map(np.concatenate, zip(*fetched, strict=True))))
            ]
        posteriors = batches.gather(fetched, fragments.shape)
        _check_finite(posteriors)
        return posteriors

    @cached_property
    def _inputs(self) -> Any:
        return replicate((self.mean, self.deviation), self.devices)

    @cached_property
    def _round(self) -> Callable:
        return pmap(self._posteriors_of, self.devices)

    def _posteriors_of(
        self, variables: Any, round_: dict[str, Any]
    ) -> Float[Array, "step batch scene"]:
        """Returns the posteriors of a round, zeros after its last step.

        ``round_`` is that of ``rounds.stack`` with the normalisation as ``inputs``.
        """

        def of_batch(_: None, log_mel: Float[Array, "batch mel frame 1"]) -> tuple[None, Array]:
            normalised = normalise(log_mel, *round_["inputs"])
            logits: Any = self.model.apply(variables, normalised, train=False)
            return None, models.posteriors(logits)

        log_mels = round_["batches"]
        _, shape = jax.eval_shape(of_batch, None, log_mels[0])
        zeros = jnp.zeros((len(log_mels), *shape.shape), shape.dtype)
        return rounds.loop(of_batch, None, zeros, round_)[1]


def _fetch(
    examples: list[np.ndarray], values: jax.Array
) -> list[tuple[np.ndarray, Float32[np.ndarray, "batch scene"]]]:
    """Returns, for each step of a round, the examples' indices and their posteriors."""
    by_step = local_values(values).swapaxes(0, 1)  # from [device, step, batch / device, scene]
    return [
        (indices, posteriors.reshape(len(indices), -1))
        for indices, posteriors in zip(examples, by_step, strict=False)
    ]


def _check_finite(posteriors: Float32[np.ndarray, "recording channel fragment scene"]) -> None:
    bad = ~np.isfinite(posteriors).all(axis=(1, 2, 3))
    if np.any(bad):
        raise NonFinitePosteriors(
            f"expected finite posteriors, got NaN or infinity for {bad.sum()} of {len(bad)} "
            "recordings"
        )


def validation_numbers(
    posteriors: Float32[np.ndarray, "recording channel fragment scene"],
    labels: np.ndarray,
    fusion_methods: dict[str, str],
) -> dict[str, float]:
    """Returns ``validation/accuracy`` and ``validation/loss`` (log loss) of fused posteriors.

    Args:
      posteriors: of the validation split.
      labels: index of each recording's scene.
      fusion_methods: keyword arguments of ``fusion.fuse``.
    """
    scores = fusion.fuse(posteriors, **fusion_methods)
    return {
        "validation/accuracy": float(np.mean(scores.argmax(-1) == labels)),
        "validation/loss": metrics.log_loss(scores, labels),
    }
