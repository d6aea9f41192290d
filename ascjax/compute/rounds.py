"""Rounds: several steps a dispatch, on batches of the pipeline or of a part that is resident.

One program takes all steps of a round. On the CPU its temporary memory is new to the process at
each dispatch, and every page costs time when it is first touched: rounds of four save up to an
eighth of a training, a fifth of an evaluation. On an accelerator the host may take longer for a
dispatch than the step takes there: on a GPU rounds of eight saved a sixth of VGG-16's training step
and 39 % of ResNet-50's; ten divide the default of log_every_steps (benchmarks/RESULTS.md).

A part that is resident is kept on the devices, and batches are taken there: for accelerators, which
a pipeline that copies from the store can keep waiting. What is kept is the store's float32, not
bfloat16: batches are then those of the pipeline to the bit, and a run may go on either way. Only
the numbers of examples, in the pipeline's order, are sent as it goes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ascjax.compute.devices import pmap, shard


def max_steps(over: list[jax.Device]) -> int:
    """Returns how many steps on batches of the pipeline a round has at most."""
    return 4 if over[0].platform == "cpu" else 10


def program(step: Callable, over: list[jax.Device]) -> Callable:
    """Returns a function of (state, inputs) that takes the steps of a round, of any length.

    Args:
      step: a function of (state, batch, given) that gives the next state and a loss.
      over: the devices.

    Returns:
      A function of a state and of a round's inputs, both with a leading device axis, that gives the
      state and the losses [device, step], with zeros up to the longest round.
    """

    def run(state: Any, inputs: dict[str, Any]) -> tuple[Any, Array]:
        def one(state: Any, batch: Any) -> tuple[Any, Array]:
            return step(state, batch, inputs["given"])

        losses = jnp.zeros(len(jax.tree.leaves(inputs["batches"])[0]))
        return loop(one, state, losses, inputs)

    return pmap(run, over, donate=True)


def loop(step: Callable, state: Any, values: Array, inputs: dict[str, Any]) -> tuple[Any, Array]:
    """Takes the steps of a round, on one device.

    Args:
      step: a function of (state, batch) that gives the next state and a value.
      state: before the first step.
      values: zeros, [step, ...] up to the longest round.
      inputs: what ``inputs`` returns, without the device axis.

    Returns:
      The state after the last step and the values of all.
    """

    def one(index: Array | int, carried: tuple[Any, Array]) -> tuple[Any, Array]:
        state, values = carried
        batch = jax.tree.map(lambda steps: steps[index], inputs["batches"])
        state, value = step(state, batch)
        return state, values.at[index].set(value)

    if len(values) == 1:
        return one(0, (state, values))
    # A loop of any length, not a scan: rounds of every length share one compiled program.
    return jax.lax.fori_loop(0, inputs["count"], one, (state, values))


def inputs(steps: Sequence[Any], length: int, num_devices: int) -> dict[str, Any]:
    """Returns the inputs of a round.

    Args:
      steps: the batch of each; its arrays are [batch, ...].
      length: of the longest round.
      num_devices: that share each batch.

    Returns:
      ``batches``: arrays [device, step, batch / device, ...], zeros after the last step; ``count``
      [device]: how many steps there are.
    """

    def stacked(*arrays: np.ndarray) -> np.ndarray:
        shares = shard(arrays[0], num_devices)
        whole = np.zeros((num_devices, length, *shares.shape[1:]), shares.dtype)
        for step, array in enumerate(arrays):
            whole[:, step] = shard(array, num_devices)
        return whole

    count = np.full(num_devices, len(steps), np.int32)
    return {"batches": jax.tree.map(stacked, *steps), "count": count}
