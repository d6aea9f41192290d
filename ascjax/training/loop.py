"""Training: the state, the loss of one batch, the pmap-ed step, the loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from ascjax.compute import rounds
from ascjax.compute.devices import free_memory, replicate, unreplicate
from ascjax.data import batches
from ascjax.errors import UserError
from ascjax.signals import StopRequest
from ascjax.training import feed
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.journal import Journal
from ascjax.training.step import Metrics, Recipe, TrainState, train_step, variables


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
      resident: one of ``feed.SHARES``.
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
        replicated = replicate(state, self.over)
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
                self.checkpoints.save(step, unreplicate(replicated), {})
                self.checkpoints.wait()
                self.stop.check(f"at step {step} of {plan.num_steps}, saved")
        self.checkpoints.wait()
        return unreplicate(replicated)

    def _feed(self, first_step: int) -> tuple[Callable, feed.Rounds]:
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
        free = free_memory(over)
        if feed.fits(plan.resident, plan.fragments, over[0].platform, free):
            step = feed.step_on_part(step, plan.fragments)
            stream = feed.of_part(plan.fragments, over, every, given, **steps)
        else:
            stream = feed.of_pipeline(plan.fragments, over, every, given, **steps)
        return rounds.program(step, over), stream

    def _look(self, losses: list[tuple[jax.Array, int]], steps: range) -> None:
        """Fetches the losses of the last ``steps``; one that is no number ends the run.

        Args:
          losses: of rounds, [device, step], and how many steps each took.
          steps: their numbers.
        """
        values = np.concatenate([unreplicate(loss)[:count] for loss, count in losses])
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
        sums = unreplicate(replicated.metrics).compute()
        numbers = {f"train/{name}": float(value) for name, value in sums.items()}
        numbers["learning_rate"] = float(self.recipe.given.learning_rates[step - 1])
        validated = self.validate(variables(replicated)) if self.validate is not None else {}
        self.journal.epoch(step, epoch, {**numbers, **validated, "seconds": round(seconds, 3)})
        empty = jax.tree.map(np.asarray, Metrics.empty())
        # Any validated epoch may turn out to be the best.
        due = epoch % self.plan.checkpoint_every_epochs == 0 or step == self.plan.num_steps
        if due or validated:
            state = unreplicate(replicated).replace(metrics=empty)
            if not all(np.isfinite(x).all() for x in jax.tree.leaves(state.params)):
                raise self._broken("a parameter is no number", step)
            self.checkpoints.save(step, state, validated)
        return replicated.replace(metrics=replicate(empty, self.over))
