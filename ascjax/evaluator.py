"""Evaluation: the posteriors of every fragment of every channel of a part, in one array."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32
from tqdm import tqdm

from ascjax import fusion, metrics, parallel
from ascjax.data import batches
from ascjax.signals import StopRequest
from ascjax.train import normalise


@dataclass(frozen=True)
class Evaluator:
    """Gives the posteriors of parts; compiled once, as every batch has the same shape.

    Attributes:
      model: returns logits [batch, scene] for log-mels [batch, mel, frame, 1].
      mean: float32 [mel], with ``deviation`` the normalisation of training.
      deviation: float32 [mel].
      over: devices to spread each batch over.
      batch_size: examples a step over all devices; any multiple of their number.
    """

    model: nn.Module
    mean: np.ndarray
    deviation: np.ndarray
    over: list[jax.Device]
    batch_size: int

    @cached_property
    def _step(self) -> Callable:
        return parallel.spread(self._posteriors_of, self.over)

    def _posteriors_of(
        self, variables: Any, log_mel: Float[Array, "batch mel frame 1"]
    ) -> Float[Array, "batch scene"]:
        normal = normalise(log_mel, self.mean, self.deviation)
        logits: Any = self.model.apply(variables, normal, train=False)
        return jax.nn.softmax(logits)

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
          stop: asked after each step, if given.

        Raises:
          Stopped: a stop was requested; nothing of this part is kept.
        """
        steps = -(-len(fragments) // self.batch_size)
        stream = batches.evaluation(fragments, batch_size=self.batch_size)
        bar = tqdm(stream, total=steps, desc=describe, unit="step", disable=describe is None)
        results: list[tuple[np.ndarray, jax.Array]] = []
        fetched = []

        def fetch(behind: int) -> None:
            # A few steps behind, so that devices never wait and inputs never pile up on them.
            while len(results) > behind:
                examples, values = results.pop(0)
                fetched.append((examples, np.asarray(values).reshape(len(examples), -1)))

        for batch in bar:
            values = self._step(variables, parallel.shard(batch["log_mel"], len(self.over)))
            results.append((batch["example"], values))
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
