"""The training loop: rounds of steps, and what is logged, checked and saved between them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np

from ascjax.compute import processes, rounds
from ascjax.compute.devices import free_memory, replicate, unreplicate
from ascjax.data import batches
from ascjax.errors import UserError
from ascjax.signals import PATIENCE_S, Busy, Stopped, StopRequest
from ascjax.training import feed
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.evaluator import NonFinitePosteriors
from ascjax.training.journal import TrainingLog
from ascjax.training.step import (
    Metrics,
    StepConfig,
    StepInputs,
    TrainState,
    train_step,
    variables,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Schedule:
    """How long a run trains, and how often it logs and saves.

    Attributes:
      batch_size: fragments in a step over all devices.
      num_epochs: passes over the training split, for which learning rates are planned.
      num_examples: fragments of the training split.
      log_every_steps: steps between checks of the loss.
      checkpoint_every_epochs: epochs between checkpoints.
      seed: decides the order of the fragments.
      resident: one of ``feed.MEMORY_SHARES``.
      last_epoch: after which training ends; None: all are trained.
    """

    batch_size: int
    num_epochs: int
    num_examples: int
    log_every_steps: int
    checkpoint_every_epochs: int
    seed: int
    resident: str = "off"
    last_epoch: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch; raises UserError if the split is smaller than a batch."""
        return batches.steps_per_epoch(self.num_examples, self.batch_size)

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return (self.last_epoch or self.num_epochs) * self.steps_per_epoch


@dataclass
class Trainer:
    """The training loop of one run.

    Attributes:
      config: what is compiled into a step.
      inputs: the compiled step's per-run inputs.
      schedule: how long to train.
      fragments: the training split, of ``schedule.num_examples``.
      devices: the devices that share each batch.
      validate: returns numbers by name, for replicated variables at the end of an epoch; or None.
      checkpoints: where states are saved; the caller closes it.
      journal: where numbers are written; the caller closes it.
      stop: heard between rounds of steps, and while a program compiles or runs.
    """

    config: StepConfig
    inputs: StepInputs
    schedule: Schedule
    fragments: batches.Fragments
    devices: list[jax.Device]
    validate: Callable[[Any], dict[str, float]] | None
    checkpoints: Checkpoints
    journal: TrainingLog
    stop: StopRequest
    # The last step and state that are computed and still there; None if they were given away.
    _known: tuple[int, TrainState] | None = field(default=None, init=False)
    _saved: int = field(default=0, init=False)  # the last step on disk
    _dispatched: int = field(default=0, init=False)

    def fit(self, state: TrainState) -> TrainState:
        """Trains from ``state``, at any step, to the end of the schedule.

        Returns:
          The last state, on the host.

        Raises:
          Stopped: a stop was requested; the state has been saved.
          UserError: a loss, a parameter or a posterior is not finite, or can't be saved.
        """
        try:
            return self._fit(state)
        except Busy:
            assert self._known is not None
            self._save_and_stop(*self._known)

    def _fit(self, state: TrainState) -> TrainState:
        schedule = self.schedule
        first = checked = self._saved = self._dispatched = int(state.step)
        replicated = replicate(state, self.devices)
        self._known = first, replicated
        program, stream = self._call(self._rounds, first)
        if first and first % schedule.steps_per_epoch == 0:
            # An epoch is saved before it is validated, and its sums are kept until then.
            ended = self.checkpoints.ended(first)
            replicated = self._empty(replicated) if ended else self._end_epoch(replicated, first, 0)
        losses: list[tuple[jax.Array, int]] = []
        epoch_started = time.perf_counter()
        for step, round_ in stream:
            replicated, loss = self._take(program, replicated, round_, step)
            losses.append((loss, int(round_["count"][0])))
            epoch_ends = step % schedule.steps_per_epoch == 0
            if epoch_ends or step % schedule.log_every_steps == 0 or self.stop.requested:
                self._check_losses(losses, range(checked + 1, step + 1))
                losses.clear()
                checked = step
                self._known = step, replicated
                self.checkpoints.check()
            self.journal.progress(step)
            if epoch_ends:
                seconds = time.perf_counter() - epoch_started
                replicated = self._end_epoch(replicated, step, seconds)
                epoch_started = time.perf_counter()
            if self.stop.agreed():
                self._save_and_stop(step, replicated)
        self.checkpoints.wait()
        return unreplicate(replicated)

    def _take(
        self, program: Callable, replicated: TrainState, round_: dict[str, Any], step: int
    ) -> tuple[TrainState, jax.Array]:
        """Dispatches a round that ends at ``step``; on CPUs, waits for the one before it."""
        # Accelerators write the next state over this one.
        given_away = self.devices[0].platform != "cpu"
        if given_away and self._known and self._known[0] != self._saved:
            self._known = None
        elif not given_away and replicated.step.is_ready():
            self._known = self._dispatched, replicated
        taken = self._call(program, replicated, round_)
        if given_away:
            self._known = None
        else:
            # At most one round is in flight: a stop that can't wait for it loses no more.
            self._call(jax.block_until_ready, replicated.step)
            self._known = self._dispatched, replicated
        self._dispatched = step
        return taken

    def _call(self, function: Callable[..., T], *args: Any) -> T:
        """Calls a function that may take long; raises Busy if a stop can't wait for it."""
        # Several processes stop at the same step, and each has to get there.
        alone = self._known is not None and processes.count() == 1
        patience_s = PATIENCE_S if alone else math.inf
        return self.stop.call(function, *args, patience_s=patience_s)

    def _save_and_stop(self, step: int, replicated: TrainState) -> NoReturn:
        if step != self._saved:
            self.checkpoints.save(step, self._host_state(replicated, step))
        self.checkpoints.wait()
        processes.gather(None)  # a launcher may end all once one has ended
        saved = ", saved" if step else ", before anything was learnt"
        self.stop.check(f"at step {step} of {self.schedule.num_steps}{saved}")
        raise AssertionError("only called where a stop was requested")

    def _rounds(self, first_step: int) -> tuple[Callable, feed.Rounds]:
        """Returns the program that takes a round, and the rounds from ``first_step`` on."""
        schedule, devices = self.schedule, self.devices
        step: Callable = partial(train_step, config=self.config)
        make_rounds = feed.pipeline_rounds
        resident, platform = schedule.resident, devices[0].platform
        if feed.fits_on_devices(resident, self.fragments, platform, free_memory(devices)):
            step = feed.step_on_resident(step, self.fragments)
            make_rounds = feed.resident_rounds
        stream = make_rounds(
            self.fragments,
            devices,
            (schedule.log_every_steps, schedule.steps_per_epoch),
            self.inputs,
            batch_size=schedule.batch_size,
            seed=schedule.seed,
            first_step=first_step,
            last_step=schedule.num_steps,
        )
        return rounds.program(step, devices), stream

    def _check_losses(self, losses: list[tuple[jax.Array, int]], steps: range) -> None:
        """Logs the mean loss of the last steps; raises UserError if one is not finite.

        Args:
          losses: for each round, its losses [device, step] and the number of its steps.
          steps: the numbers of all these steps.
        """
        fetched = self._call(lambda: [unreplicate(loss)[:count] for loss, count in losses])
        values = np.concatenate(fetched)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise self._diverged(f"the loss is {values[bad[0]]}", steps[bad[0]])
        self.journal.scalars(steps[-1], {"train/step_loss": float(values.mean())})

    def _end_epoch(self, replicated: TrainState, step: int, seconds: float) -> TrainState:
        """Saves, validates and logs an epoch; returns the state with the metrics' sums at zero."""
        schedule = self.schedule
        epoch = step // schedule.steps_per_epoch
        sums = unreplicate(replicated.metrics).compute()
        numbers = {f"train/{name}": float(value) for name, value in sums.items()}
        numbers["learning_rate"] = float(self.inputs.learning_rates[step - 1])
        due = epoch % schedule.checkpoint_every_epochs == 0 or step == schedule.num_steps
        # Any validated epoch may turn out to be the best, and is saved.
        if due or self.validate is not None:
            self.checkpoints.save(step, self._host_state(replicated, step))
            self._saved = step
        validated = self._validate(variables(replicated), step)
        self.journal.epoch(step, epoch, {**numbers, **validated, "seconds": round(seconds, 3)})
        if self._saved == step:
            self.checkpoints.end_epoch(step, validated)
        return self._empty(replicated)

    def _empty(self, replicated: TrainState) -> TrainState:
        empty = jax.tree.map(np.asarray, Metrics.empty())
        return replicated.replace(metrics=replicate(empty, self.devices))

    def _validate(self, replicated_variables: Any, step: int) -> dict[str, float]:
        if self.validate is None:
            return {}
        try:
            return self._call(self.validate, replicated_variables)
        except NonFinitePosteriors as error:
            raise self._diverged(f"validation: {error}", step) from None
        except Stopped:
            raise Busy from None

    def _host_state(self, replicated: TrainState, step: int) -> TrainState:
        """Returns the state on the host; raises UserError if a parameter is NaN or infinite."""
        state = unreplicate(replicated)
        for path, array in jax.tree_util.tree_leaves_with_path(variables(state)):
            if not np.isfinite(array).all():
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                raise self._diverged(f"{name} is not finite", step)
        return state

    def _diverged(self, what: str, step: int) -> UserError:
        # That of this step holds what has diverged.
        latest = max((good for good in self.checkpoints.steps() if good < step), default=None)
        where = "none yet" if latest is None else str(self.checkpoints.path / str(latest))
        rate = self.inputs.learning_rates[step - 1]
        return UserError(
            f"{what} at step {step}, learning rate {rate:.3g}; last good checkpoint: {where}. "
            "Start a new run with a lower learning rate"
        )
