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

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from tqdm import tqdm

from ascjax import parallel
from ascjax.data import batches
from ascjax.errors import UserError

# The share of a device's free memory that the part may take; placing it takes twice its size.
SHARES = {"off": 0.0, "auto": 0.25, "on": 0.5}

Rounds = Iterator[tuple[int, Any]]


def max_steps(over: list[jax.Device]) -> int:
    """Returns how many steps on batches of the pipeline a round has at most."""
    return 4 if over[0].platform == "cpu" else 10


def fits(choice: str, fragments: batches.Fragments, platform: str, free: float) -> bool:
    """Says whether the part is to be kept on the devices, each of which gets all of it.

    Args:
      choice: one of ``SHARES``. ``auto`` keeps it on accelerators where it fits and says so where
        it doesn't; not on CPUs, which read the store as quickly.
      fragments: the training part.
      platform: of the devices.
      free: bytes on each device; infinite where it isn't known.

    Raises:
      UserError: ``choice`` is ``on`` and it doesn't fit.
    """
    if choice == "off" or (choice == "auto" and platform == "cpu"):
        return False
    needed = 4 * len(fragments) * fragments.log_mel.shape[2] * fragments.num_frames
    if needed <= SHARES[choice] * free:
        return True
    said = (
        f"the log-mels of the training part are {needed / 1e9:.2f} GB, more than "
        f"{SHARES[choice]:.0%} of the {free / 1e9:.2f} GB free on a device"
    )
    if choice == "on":
        raise UserError(f"config.data.resident is on, but {said}; pass --config.data.resident=off")
    tqdm.write(f"{said}: batches are read from the store")
    return False


def of_pipeline(
    fragments: batches.Fragments,
    over: list[jax.Device],
    every: tuple[int, ...],
    given: Any,
    **steps: int,
) -> Rounds:
    """Yields rounds of ``max_steps`` at most, on batches cut out of the store.

    Args:
      fragments: the training part.
      over: the devices.
      every: a round ends at each multiple of any of these numbers of steps.
      given: arrays that all steps take alike.
      **steps: which steps; see ``batches.order``.

    Yields:
      The number of a round's last step, and the inputs of ``program``: what ``inputs`` returns, and
      ``given`` on the devices.
    """
    processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    stream = batches.training(fragments, **processes, **steps)
    wanted = ({name: batch[name] for name in ("log_mel", "label")} for batch in stream)
    given = parallel.replicate(given, over)
    return _rounds(wanted, over, (max_steps(over), *every), given, **steps)


def of_part(
    fragments: batches.Fragments,
    over: list[jax.Device],
    every: tuple[int, ...],
    given: Any,
    **steps: int,
) -> Rounds:
    """Places a part on the devices and yields rounds for ``step_on_part``.

    Args and what is yielded are those of ``of_pipeline``; only ``every`` ends a round.
    """
    given = parallel.replicate((given, _load(fragments)), over)
    order = batches.order(len(fragments), **steps)
    # One by one: to draw numbers ahead in threads takes twice as long.
    numbers = (order[step].astype(np.int32) for step in range(len(order)))
    return _rounds(numbers, over, every, given, **steps)


def step_on_part(step: Callable, fragments: batches.Fragments) -> Callable:
    """Returns ``step`` as a function of (state, numbers of examples, (given, part))."""
    shape = (-1, fragments.log_mel.shape[2], fragments.num_frames, 1)

    def taken(
        state: Any, examples: Array, given_and_part: tuple[Any, dict[str, Array]]
    ) -> tuple[Any, Array]:
        given, part = given_and_part
        log_mel, label = (part[name][examples] for name in ("log_mel", "label"))
        return step(state, {"log_mel": log_mel.reshape(shape), "label": label}, given)

    return taken


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

    return parallel.spread(run, over, donate=True)


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
        shares = parallel.shard(arrays[0], num_devices)
        whole = np.zeros((num_devices, length, *shares.shape[1:]), shares.dtype)
        for step, array in enumerate(arrays):
            whole[:, step] = parallel.shard(array, num_devices)
        return whole

    count = np.full(num_devices, len(steps), np.int32)
    return {"batches": jax.tree.map(stacked, *steps), "count": count}


def _rounds(
    stream: Iterator[Any],
    over: list[jax.Device],
    every: tuple[int, ...],
    given: Any,
    *,
    first_step: int,
    last_step: int,
    **_: int,
) -> Rounds:
    last = first_step
    while last < last_step:
        count = min(last_step - last, *(period - last % period for period in every))
        last += count
        taken = inputs(list(islice(stream, count)), min(every), len(over))
        yield last, {**taken, "given": given}


def _load(fragments: batches.Fragments) -> dict[str, np.ndarray]:
    """Returns log_mel [example, mel · frame] and label [example] of the whole part."""
    whole = fragments.take(np.arange(len(fragments)))
    # Flat rows, as accelerators pad short axes.
    return {"log_mel": whole["log_mel"].reshape(len(fragments), -1), "label": whole["label"]}
