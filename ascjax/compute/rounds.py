"""Rounds: several steps in one dispatch, on batches of the pipeline or of resident examples.

One program takes all steps of a round. On the CPU its temporary memory is new to the process at
each dispatch, and every page costs time when it is first touched: rounds of four save up to an
eighth of a training, a fifth of an evaluation. On an accelerator the host may take longer for a
dispatch than the step takes there: on a GPU rounds of eight saved a sixth of VGG-16's training step
and 39 % of ResNet-50's; ten divide the default of log_every_steps (benchmarks/DECISIONS.md).

An example: rounds have at most 4 steps, and one must end at every 5th step, as the loss is looked
at there. Steps 1–4 make a round, step 5 one of its own. ``stack`` lays both out as 4 steps with a
``count`` of 4 and of 1, so one compiled program takes either; the zeros after ``count`` are never
read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ascjax.compute.devices import pmap, shard


def max_steps(devices: Sequence[jax.Device]) -> int:
    """Returns the most steps in a round on batches of the pipeline."""
    return 4 if devices[0].platform == "cpu" else 10


def program(step: Callable, devices: Sequence[jax.Device]) -> Callable:
    """Returns the compiled function of (state, round) that takes a round's steps.

    Args:
      step: a function of (state, batch, inputs) that returns the next state and a loss.
      devices: where it runs.

    Returns:
      A function of a state and of what ``stack`` returns with ``inputs`` added, arrays that all
      steps share; all with a leading device axis. It returns the state after the last step and the
      losses [device, step], zeros after the last.
    """

    def take_round(state: Any, round_: dict[str, Any]) -> tuple[Any, Array]:
        def take_step(state: Any, batch: Any) -> tuple[Any, Array]:
            return step(state, batch, round_["inputs"])

        losses = jnp.zeros(len(jax.tree.leaves(round_["batches"])[0]))
        return loop(take_step, state, losses, round_)

    return pmap(take_round, devices, donate=True)


def loop(step: Callable, state: Any, values: Array, round_: dict[str, Any]) -> tuple[Any, Array]:
    """Takes the steps of a round on one device.

    Args:
      step: a function of (state, batch) that returns the next state and a value.
      state: before the first step.
      values: zeros, [step, ...] up to the longest round.
      round_: what ``stack`` returns, without the device axis.

    Returns:
      The state after the last step and the values of all.
    """

    def take_step(index: Array | int, carried: tuple[Any, Array]) -> tuple[Any, Array]:
        state, values = carried
        batch = jax.tree.map(lambda steps: steps[index], round_["batches"])
        state, value = step(state, batch)
        return state, values.at[index].set(value)

    if len(values) == 1:
        return take_step(0, (state, values))
    # A loop of any length, not a scan: rounds of every length share one compiled program.
    return jax.lax.fori_loop(0, round_["count"], take_step, (state, values))


def stack(steps: Sequence[Any], length: int, num_devices: int) -> dict[str, Any]:
    """Returns the batches of a round, stacked and sharded over devices.

    Args:
      steps: the batch of each step, a tree of arrays [batch, ...].
      length: steps of the longest round.
      num_devices: devices that share each batch.

    Returns:
      ``batches``: arrays [device, step, batch / device, ...], zeros after the last step; ``count``
      int32 [device]: the number of steps.
    """

    def stacked(*arrays: np.ndarray) -> np.ndarray:
        shards = shard(arrays[0], num_devices)
        whole = np.zeros((num_devices, length, *shards.shape[1:]), shards.dtype)
        for step, array in enumerate(arrays):
            whole[:, step] = shard(array, num_devices)
        return whole

    count = np.full(num_devices, len(steps), np.int32)
    return {"batches": jax.tree.map(stacked, *steps), "count": count}
