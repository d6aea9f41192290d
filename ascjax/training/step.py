"""One training step as a pure function: state, batch, inputs of the run -> next state and loss."""

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


@flax.struct.dataclass
class Metrics(clu_metrics.Collection):
    """Sums since the epoch began; divided once, when the epoch ends."""

    loss: clu_metrics.Average.from_output("loss")
    accuracy: clu_metrics.Average.from_output("correct")


class TrainState(flax.struct.PyTreeNode):
    """All that a run needs to go on exactly, besides its config."""

    step: Any
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    metrics: Metrics


class Given(NamedTuple):
    """Arrays that stay the same during a run.

    They are inputs of the compiled step and not constants in it, so that runs which differ in
    their fold, seed, learning rate, schedule or length (to the next multiple of 4,096 steps) alone
    share one.

    Attributes:
      mean: float32 [mel]; with ``deviation``, normalises the log-mel of each band.
      deviation: float32 [mel].
      learning_rates: float32 [step], of the head; at least as many as the run has steps.
      key: of dropout and augmentation.
    """

    mean: Float[Array | np.ndarray, " mel"]
    deviation: Float[Array | np.ndarray, " mel"]
    learning_rates: Float[Array | np.ndarray, " step"]
    key: Key[Array, ""]


@dataclass(frozen=True)
class Recipe:
    """What a run's step computes, a function of (state, batch, given) once this is known.

    Attributes:
      model: returns logits [batch, scene] for log-mels [batch, mel, frame, 1] and ``train``.
      optimizer: of its parameters, at a learning rate of 1.
      given: the run's arrays.
      num_scenes: K.
      label_smoothing: share of the target given to all scenes equally, 0..1.
      augmentation: keyword arguments of ``augment.augment``.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    given: Given
    num_scenes: int
    label_smoothing: float
    augmentation: dict[str, Any]


def initial_state(recipe: Recipe, variables: Any) -> TrainState:
    """Returns the state at step 0 for initial ``variables`` {params[, batch_stats]}."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=recipe.optimizer.init(variables["params"]),
        metrics=Metrics.empty(),
    )


def train_step(
    state: TrainState, batch: dict[str, jax.Array], given: Given, *, recipe: Recipe
) -> tuple[TrainState, jax.Array]:
    """One optimiser step on this device's share of a batch; gradients are averaged over devices.

    Returns:
      The next state, equal on every device, and the mean loss of the whole batch.
    """
    key = jax.random.fold_in(jax.random.fold_in(given.key, state.step), jax.lax.axis_index(AXIS))
    dropout_key, augment_key = jax.random.split(key)
    log_mel = normalise(batch["log_mel"], given.mean, given.deviation)
    targets = jax.nn.one_hot(batch["label"], recipe.num_scenes)
    targets = optax.smooth_labels(targets, recipe.label_smoothing)
    log_mel, targets = augment.augment(augment_key, log_mel, targets, **recipe.augmentation)

    def loss_of(params: Any) -> tuple[jax.Array, Any]:
        logits, updates = recipe.model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            log_mel,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        losses = optax.softmax_cross_entropy(logits, targets)
        return losses.mean(), (losses, logits, updates)

    gradients, (losses, logits, updates) = jax.grad(loss_of, has_aux=True)(state.params)
    gradients = pmean(gradients)
    steps, opt_state = recipe.optimizer.update(gradients, state.opt_state, state.params)
    steps = optax.tree.scale(given.learning_rates[state.step], steps)
    correct = jnp.argmax(logits, -1) == batch["label"]
    seen = Metrics.single_from_model_output(loss=losses, correct=correct.astype(jnp.float32))
    next_state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, steps),
        batch_stats=updates.get("batch_stats", {}),
        opt_state=opt_state,
        metrics=state.metrics.merge(psum(seen)),
    )
    return next_state, pmean(losses.mean())


def variables(state: TrainState) -> dict[str, Any]:
    """Returns what the model's ``apply`` takes."""
    return {"params": state.params, "batch_stats": state.batch_stats}
