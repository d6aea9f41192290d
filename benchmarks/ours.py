"""Our side: network, recipe and training step as the main job builds them by default."""

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
from ascjax.setup import builders
from ascjax.training import feed
from ascjax.training.step import Recipe, initial_state, train_step

NUM_MELS, NUM_SCENES = 128, 10
# What the log-mels here are drawn from, and normalised by.
MEAN, DEVIATION = -5.0, 2.0


@dataclass(frozen=True)
class Case:
    """What is trained, and on batches of what.

    Attributes:
      trunk: one of ``models.TRUNKS``.
      head: ``gap`` or ``mlp``.
      frames: of a fragment.
      batch: fragments a step, over all devices.
      dtype: ``float32`` or ``bfloat16``.
    """

    trunk: str
    head: str
    frames: int
    batch: int
    dtype: str = "float32"


class Built(NamedTuple):
    """What a case comes to.

    Attributes:
      recipe: of its training step.
      network: for evaluation.
      variables: of both networks, at the start.
    """

    recipe: Recipe
    network: nn.Module
    variables: Any


def build(case: Case) -> Built:
    """Builds a case; AdamW, clipping and weight decay are the defaults of the main job."""
    config = common.get_config()
    config.model.update(trunk=case.trunk, head=case.head, compute_dtype=case.dtype)
    config.train.update(batch_size=case.batch, num_epochs=1000)
    networks = builders.build_networks(
        config, num_scenes=NUM_SCENES, input_shape=(NUM_MELS, case.frames)
    )
    plan = builders.build_plan(config, fragments(case.batch, 1, case.frames))
    mean, deviation = np.full((2, NUM_MELS), [[MEAN], [DEVIATION]], np.float32)
    recipe = builders.build_recipe(
        config, networks, plan, num_scenes=NUM_SCENES, mean=mean, deviation=deviation
    )
    return Built(recipe, networks.evaluation, networks.variables)


def fragments(recordings: int, channels: int, frames: int, count: int = 1) -> Fragments:
    """Returns random log-mels [recording, channel, mel, frame] with labels, cut into ``count``."""
    rng = np.random.default_rng(0)
    log_mel = rng.normal(MEAN, DEVIATION, (recordings, channels, NUM_MELS, frames))
    rows = np.arange(recordings)
    labels = (rows % NUM_SCENES).astype(np.int32)
    return Fragments(log_mel.astype(np.float32), rows, labels, count)


def batch(case: Case) -> dict[str, np.ndarray]:
    """Returns a batch of random log-mels and labels."""
    taken = fragments(case.batch, 1, case.frames).take(np.arange(case.batch))
    return {name: taken[name] for name in ("log_mel", "label")}


class Training:
    """A training under way, by one compiled program for rounds of steps.

    These are on batches, or with ``part`` on the numbers of its examples (``feed.of_part``).
    """

    def __init__(self, built: Built, over: list[jax.Device], part: Fragments | None = None):
        self._over = over
        recipe = built.recipe
        step: Any = partial(train_step, recipe=recipe)
        step = step if part is None else feed.step_on_part(step, part)
        self._program = rounds.program(step, over)
        self._state = replicate(initial_state(recipe, built.variables), over)
        self._given = replicate(recipe.given, over)

    def place(self, batch: dict[str, np.ndarray], steps: int, length: int) -> Any:
        """Returns so many steps on a batch as the inputs of a round, on the devices."""
        put = jax.pmap(lambda x: x, axis_name=AXIS, devices=self._over)
        inputs = put(rounds.inputs([batch] * steps, length, len(self._over)))
        return {**inputs, "given": self._given}

    def take(self, inputs: Any) -> jax.Array:
        """Takes a round and returns its losses [device, step], before any is computed."""
        self._state, losses = self._program(self._state, inputs)
        return losses

    def wait(self) -> None:
        """Returns when all rounds are done."""
        jax.block_until_ready(self._state)

    def take_and_wait(self, inputs: Any, times: int = 1) -> np.ndarray:
        """Takes a round so many times and returns the losses [step] of all."""
        losses = [self.take(inputs) for _ in range(times)]
        self.wait()
        return np.concatenate([unreplicate(loss) for loss in losses])

    def parameters(self) -> np.ndarray:
        """Returns all parameters as one vector."""
        leaves = jax.tree.leaves(unreplicate(self._state.params))
        return np.concatenate([leaf.ravel() for leaf in leaves])


def flops_of_step(built: Built, inputs: dict[str, np.ndarray]) -> float:
    """Returns the floating-point operations of a training step on one device."""
    step = jax.vmap(partial(train_step, recipe=built.recipe), axis_name=AXIS)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((1, *jnp.shape(x)), jnp.result_type(x)),
        (initial_state(built.recipe, built.variables), inputs, built.recipe.given),
    )
    return cost.flops(step, *shapes)
