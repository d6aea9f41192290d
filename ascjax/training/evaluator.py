"""Evaluation: the posteriors of every fragment of every channel of a part, in one array."""

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

from ascjax.compute import rounds
from ascjax.compute.devices import pmap, replicate
from ascjax.data import batches
from ascjax.data.normalisation import normalise
from ascjax.scoring import fusion, metrics
from ascjax.signals import StopRequest


@dataclass(frozen=True)
class Evaluator:
    """Gives the posteriors of parts; compiled once, as every batch has the same shape.

    The normalisation is an input, so that the folds of a set share the compiled program.

    Attributes:
      model: returns logits [batch, scene] for log-mels [batch, mel, frame, 1].
      mean: float32 [mel], with ``deviation`` the normalisation of training.
      deviation: float32 [mel].
      over: devices to spread each batch over.
      batch_size: examples a step over all devices; any multiple of their number.
    """

    model: nn.Module
    mean: Float[Array | np.ndarray, " mel"]
    deviation: Float[Array | np.ndarray, " mel"]
    over: list[jax.Device]
    batch_size: int

    @cached_property
    def _given(self) -> Any:
        return replicate((self.mean, self.deviation), self.over)

    @cached_property
    def _round(self) -> Callable:
        return pmap(self._posteriors_of, self.over)

    def _posteriors_of(
        self, variables: Any, inputs: dict[str, Any]
    ) -> Float[Array, "step batch scene"]:
        """Returns the posteriors of a round, zeros after its last step.

        ``inputs`` are those of ``rounds.inputs`` and ``given``, the normalisation.
        """

        def of_batch(_: None, log_mel: Float[Array, "batch mel frame 1"]) -> tuple[None, Array]:
            normal = normalise(log_mel, *inputs["given"])
            logits: Any = self.model.apply(variables, normal, train=False)
            return None, jax.nn.softmax(logits)

        log_mels = inputs["batches"]
        _, shape = jax.eval_shape(of_batch, None, log_mels[0])
        zeros = jnp.zeros((len(log_mels), *shape.shape), shape.dtype)
        return rounds.loop(of_batch, None, zeros, inputs)[1]

    def __call__(
        self,
        variables: Any,
        fragments: batches.Fragments,
        *,
        describe: str | None = None,
        stop: StopRequest | None = None,
    ) -> Float32[np.ndarray, "recording channel fragment scene"]:
        """Runs the model over every fragment of a part, each exactly once.

        Args:
          variables: the model's, replicated over the devices.
          fragments: the part.
          describe: label of a progress bar, or None for no bar.
          stop: asked after each round of steps, if given.

        Raises:
          Stopped: a stop was requested; nothing of this part is kept.
        """
        steps = -(-len(fragments) // self.batch_size)
        stream = batches.evaluation(fragments, batch_size=self.batch_size)
        bar = iter(tqdm(stream, total=steps, desc=describe, unit="step", disable=describe is None))
        length = rounds.max_steps(self.over)
        results: list[tuple[list[np.ndarray], jax.Array]] = []
        fetched = []

        def fetch(behind: int) -> None:
            # A few rounds behind, so that devices never wait and inputs never pile up on them.
            while len(results) > behind:
                examples, values = results.pop(0)
                by_step = np.asarray(values).swapaxes(0, 1)
                for numbers, posteriors in zip(examples, by_step, strict=False):
                    fetched.append((numbers, posteriors.reshape(len(numbers), -1)))

        while taken := list(islice(bar, length)):
            inputs = rounds.inputs([batch["log_mel"] for batch in taken], length, len(self.over))
            values = self._round(variables, {**inputs, "given": self._given})
            results.append(([batch["example"] for batch in taken], values))
            fetch(behind=2)
            if stop is not None:
                stop.check("while testing; training is done and saved")
        fetch(behind=0)
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
