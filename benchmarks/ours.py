"""Our side: network, optimiser and training step as the main job builds them by default."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ascjax.compute import rounds
from ascjax.compute.devices import AXIS, replicate, unreplicate
from ascjax.configs import common
from ascjax.data.batches import Fragments
from ascjax.models import cost
from ascjax.setup import network
from ascjax.training import feed
from ascjax.training.step import StepConfig, StepInputs, initial_state, train_step

NUM_MELS, NUM_SCENES = 128, 10
# What the log-mels here are drawn from, and normalised by.
MEAN, DEVIATION = -5.0, 2.0


@dataclass(frozen=True)
class Case:
    """A network and the size of its batches.

    Attributes:
      trunk: one of ``models.TRUNKS``.
      head: ``gap`` or ``mlp``.
      frames: of a fragment.
      batch: fragments in a step over all devices.
      dtype: ``float32`` or ``bfloat16``.
    """

    trunk: str
    head: str
    frames: int
    batch: int
    dtype: str = "float32"


class Built(NamedTuple):
    """A case, built.

    Attributes:
      config: what is compiled into its training step.
      inputs: the step's per-run inputs.
      network: for evaluation.
      variables: initial ones, of training and evaluation.
    """

    config: StepConfig
    inputs: StepInputs
    network: nn.Module
    variables: Any


def build(case: Case) -> Built:
    """Builds a case; AdamW, clipping and weight decay are the defaults of the main job."""
    config = common.get_config()
    config.model.update(trunk=case.trunk, head=case.head, compute_dtype=case.dtype)
    config.train.update(batch_size=case.batch, num_epochs=1000)
    networks = network.networks(config, None, NUM_SCENES, (NUM_MELS, case.frames))
    schedule = network.schedule(config, case.batch)
    mean, deviation = np.full((2, NUM_MELS), [[MEAN], [DEVIATION]], np.float32)
    step_config, inputs = network.step(
        config, networks, schedule, num_scenes=NUM_SCENES, mean=mean, deviation=deviation
    )
    return Built(step_config, inputs, networks.evaluation, networks.variables)


def fragments(recordings: int, channels: int, frames: int, count: int = 1) -> Fragments:
    """Returns random log-mels [recording, channel, mel, frame] with labels, cut into ``count``."""
    rng = np.random.default_rng(0)
    log_mel = rng.normal(MEAN, DEVIATION, (recordings, channels, NUM_MELS, frames))
    indices = np.arange(recordings)
    labels = (indices % NUM_SCENES).astype(np.int32)
    return Fragments(log_mel.astype(np.float32), indices, labels, count)


def batch(case: Case) -> dict[str, np.ndarray]:
    """Returns a batch of random log-mels and labels."""
    taken = fragments(case.batch, 1, case.frames).take(np.arange(case.batch))
    return {name: taken[name] for name in ("log_mel", "label")}


class Training:
    """A training under way, by one compiled program for rounds of steps.

    These are on batches, or on ``resident`` examples (``feed.resident_rounds``).
    """

    def __init__(self, built: Built, devices: list[jax.Device], resident: Fragments | None = None):
        self._devices = devices
        step: Any = partial(train_step, config=built.config)
        step = step if resident is None else feed.step_on_resident(step, resident)
        self._program = rounds.program(step, devices)
        self._state = replicate(initial_state(built.config, built.variables), devices)
        self._inputs = replicate(built.inputs, devices)

    def place(self, batch: dict[str, np.ndarray], steps: int, length: int) -> Any:
        """Returns a round of ``steps`` steps on one batch, on the devices."""
        put = jax.pmap(lambda x: x, axis_name=AXIS, devices=self._devices)
        round_ = put(rounds.stack([batch] * steps, length, len(self._devices)))
        return {**round_, "inputs": self._inputs}

    def take(self, round_: Any) -> jax.Array:
        """Dispatches a round and returns its losses [device, step] without waiting for them."""
        self._state, losses = self._program(self._state, round_)
        return losses

    def wait(self) -> None:
        """Returns when all rounds are done."""
        jax.block_until_ready(self._state)

    def take_and_wait(self, round_: Any, times: int = 1) -> np.ndarray:
        """Takes a round ``times`` times and returns the losses [step] of all."""
        losses = [self.take(round_) for _ in range(times)]
        self.wait()
        return np.concatenate([unreplicate(loss) for loss in losses])

    def parameters(self) -> np.ndarray:
        """Returns all parameters as one vector."""
        leaves = jax.tree.leaves(unreplicate(self._state.params))
        return np.concatenate([leaf.ravel() for leaf in leaves])


def flops_of_step(built: Built, batch: dict[str, np.ndarray]) -> float:
    """Returns the floating-point operations of a training step on one device."""
    step = jax.vmap(partial(train_step, config=built.config), axis_name=AXIS)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((1, *jnp.shape(x)), jnp.result_type(x)),
        (initial_state(built.config, built.variables), batch, built.inputs),
    )
    return cost.flops(step, *shapes)
