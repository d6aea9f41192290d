"""One training step as a pure function: state, batch, inputs of the run → next state and loss.

All random draws are functions of the run's key, the step and an example's position in the batch
over all devices, so that any number of devices draws the same.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu import metrics as clu_metrics
from flax import linen as nn
from jaxtyping import Array, Float, Key

from ascjax.compute.devices import AXIS, pmean, psum
from ascjax.data.normalisation import normalise
from ascjax.training import augment

# Any constant: it sets the draws of the steps apart from those of the initial weights, which take
# the seed's key itself, and from those of every other seed.
_STEPS_STREAM = 1


def step_key(seed: int) -> Key[Array, ""]:
    """Returns the key of dropout and augmentation for a run's seed."""
    return jax.random.fold_in(jax.random.key(seed), _STEPS_STREAM)


@flax.struct.dataclass
class Metrics(clu_metrics.Collection):
    """Sums since the epoch began; divided once, when the epoch ends.

    ``accuracy`` is the share of each example's label that the predicted scene has. Under mixup a
    label has shares of two scenes: predicting the one with 0.7 of it counts 0.7.
    """

    loss: clu_metrics.Average.from_output("loss")
    accuracy: clu_metrics.Average.from_output("correct")


class TrainState(flax.struct.PyTreeNode):
    """Training state, as checkpoints save it."""

    step: Any
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    metrics: Metrics


class StepInputs(NamedTuple):
    """Per-run inputs of the compiled step.

    Inputs and not constants in it, so that runs which differ only in their fold, seed, learning
    rate, schedule or length (to the next multiple of 4,096 steps) share one compiled program.

    Attributes:
      mean: float32 [mel]; with ``deviation``, normalises the log-mel of each band.
      deviation: float32 [mel].
      learning_rates: float32 [step], of the head; at least as many as the run has steps.
      key: what dropout and augmentation draw from; see ``step_key``.
    """

    mean: Float[Array | np.ndarray, " mel"]
    deviation: Float[Array | np.ndarray, " mel"]
    learning_rates: Float[Array | np.ndarray, " step"]
    key: Key[Array, ""]


@dataclass(frozen=True)
class Distillation:
    """How a teacher's scores are learned from (Hinton et al., 2015, arXiv:1503.02531).

    Attributes:
      weight: share of the loss that is the cross entropy with the teacher's scores, 0..1; the rest
        is that with the labels.
      temperature: both sides' logits are divided by it, and that part of the loss is multiplied by
        its square, so that its gradients keep their size.
    """

    weight: float
    temperature: float


@dataclass(frozen=True)
class StepConfig:
    """What is compiled into the training step.

    Attributes:
      model: returns logits [batch, scene] for log-mels [batch, mel, frame, 1] and ``train``.
      optimizer: of its parameters, at a learning rate of 1.
      num_scenes: K.
      label_smoothing: share of the target spread over all scenes equally, 0..1.
      augmentation: keyword arguments of ``augment.augment``.
      distillation: for batches with a ``target``; None without a teacher.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    num_scenes: int
    label_smoothing: float
    augmentation: dict[str, Any]
    distillation: Distillation | None = None


def initial_state(config: StepConfig, variables: Any) -> TrainState:
    """Returns the state at step 0 for initial ``variables`` {params[, batch_stats]}."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=config.optimizer.init(variables["params"]),
        metrics=Metrics.empty(),
    )


def train_step(
    state: TrainState, batch: dict[str, jax.Array], inputs: StepInputs, *, config: StepConfig
) -> tuple[TrainState, jax.Array]:
    """One optimiser step on this device's share of a batch; gradients are averaged over devices.

    Args:
      state: equal on every device.
      batch: this device's log_mel [batch, mel, frame, 1], label [batch] and, under a teacher,
        target [batch, scene].
      inputs: equal on every device.
      config: what is compiled in.

    Returns:
      The next state, equal on every device, and the mean loss of the whole batch.
    """
    dropout_key, augment_key = jax.random.split(jax.random.fold_in(inputs.key, state.step))
    log_mel = normalise(batch["log_mel"], inputs.mean, inputs.deviation)
    labels = jax.nn.one_hot(batch["label"], config.num_scenes)
    if config.distillation is not None:  # mixed as labels are
        labels = jnp.concatenate([labels, batch["target"]], axis=-1)
    log_mel, labels = augment.augment(
        augment_key, log_mel, labels, axis_name=AXIS, **config.augmentation
    )
    labels, taught = labels[:, : config.num_scenes], labels[:, config.num_scenes :]
    targets = optax.smooth_labels(labels, config.label_smoothing)

    def loss_of(params: Any) -> tuple[jax.Array, Any]:
        logits, updates = config.model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            log_mel,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        losses = optax.softmax_cross_entropy(logits, targets)
        if config.distillation is not None:
            losses = _distilled(losses, logits, taught, config.distillation)
        return losses.mean(), (losses, logits, updates)

    gradients, (losses, logits, updates) = jax.grad(loss_of, has_aux=True)(state.params)
    gradients = pmean(gradients)
    steps, opt_state = config.optimizer.update(gradients, state.opt_state, state.params)
    steps = optax.tree.scale(inputs.learning_rates[state.step], steps)
    predicted = jax.nn.one_hot(jnp.argmax(logits, -1), config.num_scenes)
    correct = jnp.sum(predicted * labels, -1)
    batch_metrics = Metrics.single_from_model_output(loss=losses, correct=correct)
    next_state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, steps),
        batch_stats=updates.get("batch_stats", {}),
        opt_state=opt_state,
        metrics=state.metrics.merge(psum(batch_metrics)),
    )
    return next_state, pmean(losses.mean())


def _distilled(
    losses: Float[Array, " batch"],
    logits: Float[Array, "batch scene"],
    taught: Float[Array, "batch scene"],
    by: Distillation,
) -> Float[Array, " batch"]:
    """Returns each example's loss as `Distillation` has it."""
    softer = jax.nn.softmax(jnp.log(jnp.maximum(taught, 1e-12)) / by.temperature)
    from_teacher = optax.softmax_cross_entropy(logits / by.temperature, softer)
    return (1 - by.weight) * losses + by.weight * by.temperature**2 * from_teacher


def variables(state: TrainState) -> dict[str, Any]:
    """Returns what the model's ``apply`` takes."""
    return {"params": state.params, "batch_stats": state.batch_stats}
