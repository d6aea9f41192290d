"""Training: the state, the loss of one batch, the pmap-ed step, the loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu import metrics as clu_metrics
from flax import linen as nn
from jaxtyping import Array, Float, Key

from ascjax import augment, parallel, rounds
from ascjax.checkpoint import Checkpoints
from ascjax.data import batches
from ascjax.errors import UserError
from ascjax.journal import Journal
from ascjax.signals import StopRequest


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


def normalise(
    log_mel: Float[Array, "batch mel frame 1"],
    mean: Float[Array | np.ndarray, " mel"],
    deviation: Float[Array | np.ndarray, " mel"],
) -> Float[Array, "batch mel frame 1"]:
    """Returns log-mels with each band's mean taken away and divided by its deviation."""
    return (log_mel - mean[None, :, None, None]) / deviation[None, :, None, None]


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
    key = parallel.device_key(jax.random.fold_in(given.key, state.step))
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
    gradients = parallel.mean(gradients)
    steps, opt_state = recipe.optimizer.update(gradients, state.opt_state, state.params)
    steps = optax.tree.scale(given.learning_rates[state.step], steps)
    correct = jnp.argmax(logits, -1) == batch["label"]
    seen = Metrics.single_from_model_output(loss=losses, correct=correct.astype(jnp.float32))
    next_state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, steps),
        batch_stats=updates.get("batch_stats", {}),
        opt_state=opt_state,
        metrics=state.metrics.merge(parallel.total(seen)),
    )
    return next_state, parallel.mean(losses.mean())


@dataclass(frozen=True)
class Plan:
    """How long and on what a run trains.

    Attributes:
      fragments: the training part.
      batch_size: fragments a step over all devices and processes.
      num_epochs: passes over the training part.
      seed: of the order of fragments.
      log_every_steps: steps between looks at the loss.
      checkpoint_every_epochs: epochs between checkpoints.
      resident: one of ``rounds.SHARES``.
    """

    fragments: batches.Fragments
    batch_size: int
    num_epochs: int
    seed: int
    log_every_steps: int
    checkpoint_every_epochs: int
    resident: str = "off"

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return batches.steps_per_epoch(len(self.fragments), self.batch_size)

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.num_epochs * self.steps_per_epoch


@dataclass
class Trainer:
    """The loop: steps, and what is written down and saved between them.

    Attributes:
      recipe: what a step computes.
      plan: on what, and how long.
      over: devices to spread each batch over.
      validate: numbers by name for replicated variables at the end of an epoch, or None.
      checkpoints: where states are saved.
      journal: where numbers are written.
      stop: asked after each round of steps.
    """

    recipe: Recipe
    plan: Plan
    over: list[jax.Device]
    validate: Callable[[Any], dict[str, float]] | None
    checkpoints: Checkpoints
    journal: Journal
    stop: StopRequest

    def fit(self, state: TrainState) -> TrainState:
        """Trains from ``state``, at any step, to the end of the plan.

        Returns:
          The last state, on the host.

        Raises:
          Stopped: a stop was requested; the state has been saved.
          UserError: the loss is no longer a number.
        """
        plan = self.plan
        first_step = looked = int(state.step)
        replicated = parallel.replicate(state, self.over)
        run, stream = self._feed(first_step)
        losses: list[tuple[jax.Array, int]] = []
        started = time.perf_counter()
        for step, inputs in stream:
            replicated, loss = run(replicated, inputs)
            losses.append((loss, int(inputs["count"][0])))
            epoch_ends = step % plan.steps_per_epoch == 0
            if epoch_ends or step % plan.log_every_steps == 0 or self.stop.requested:
                self._look(losses, range(looked + 1, step + 1))
                losses.clear()
                looked = step
            self.journal.tick(step)
            if epoch_ends:
                replicated = self._end_epoch(replicated, step, time.perf_counter() - started)
                started = time.perf_counter()
            if self.stop.requested:
                self.checkpoints.save(step, parallel.first(replicated), {})
                self.checkpoints.wait()
                self.stop.check(f"at step {step} of {plan.num_steps}, saved")
        self.checkpoints.wait()
        return parallel.first(replicated)

    def _feed(self, first_step: int) -> tuple[Callable, rounds.Rounds]:
        """Returns what is dispatched, and the last step of each dispatch with its inputs."""
        plan, over = self.plan, self.over
        step: Callable = partial(train_step, recipe=self.recipe)
        steps = {
            "batch_size": plan.batch_size,
            "seed": plan.seed,
            "first_step": first_step,
            "last_step": plan.num_steps,
        }
        every = (plan.log_every_steps, plan.steps_per_epoch)
        given = self.recipe.given
        free = parallel.free_memory(over)
        if rounds.fits(plan.resident, plan.fragments, over[0].platform, free):
            step = rounds.step_on_part(step, plan.fragments)
            stream = rounds.of_part(plan.fragments, over, every, given, **steps)
        else:
            stream = rounds.of_pipeline(plan.fragments, over, every, given, **steps)
        return rounds.program(step, over), stream

    def _look(self, losses: list[tuple[jax.Array, int]], steps: range) -> None:
        """Fetches the losses of the last ``steps``; one that is no number ends the run.

        Args:
          losses: of rounds, [device, step], and how many steps each took.
          steps: their numbers.
        """
        values = np.concatenate([parallel.first(loss)[:count] for loss, count in losses])
        broken = np.flatnonzero(~np.isfinite(values))
        if len(broken):
            raise self._broken(f"the loss is {values[broken[0]]}", steps[broken[0]])
        self.journal.event(steps[-1], {"train/step_loss": float(values.mean())})

    def _broken(self, what: str, step: int) -> UserError:
        good = self.checkpoints.latest()
        where = "none yet" if good is None else str(self.checkpoints.path / str(good))
        rate = self.recipe.given.learning_rates[step - 1]
        return UserError(
            f"{what} at step {step}, learning rate {rate:.3g}; "
            f"last good checkpoint: {where}. Start anew in another --workdir with a lower "
            "--config.optimizer.learning_rate"
        )

    def _end_epoch(self, replicated: TrainState, step: int, seconds: float) -> TrainState:
        """Writes the epoch's numbers down, saves, and returns the state with its sums at zero."""
        epoch = step // self.plan.steps_per_epoch
        sums = parallel.first(replicated.metrics).compute()
        numbers = {f"train/{name}": float(value) for name, value in sums.items()}
        numbers["learning_rate"] = float(self.recipe.given.learning_rates[step - 1])
        validated = self.validate(variables(replicated)) if self.validate is not None else {}
        self.journal.epoch(step, epoch, {**numbers, **validated, "seconds": round(seconds, 3)})
        empty = jax.tree.map(np.asarray, Metrics.empty())
        # Any validated epoch may turn out to be the best.
        due = epoch % self.plan.checkpoint_every_epochs == 0 or step == self.plan.num_steps
        if due or validated:
            state = parallel.first(replicated).replace(metrics=empty)
            if not all(np.isfinite(x).all() for x in jax.tree.leaves(state.params)):
                raise self._broken("a parameter is no number", step)
            self.checkpoints.save(step, state, validated)
        return replicated.replace(metrics=parallel.replicate(empty, self.over))


def variables(state: TrainState) -> dict[str, Any]:
    """Returns what the model's ``apply`` takes."""
    return {"params": state.params, "batch_stats": state.batch_stats}
