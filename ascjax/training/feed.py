"""Rounds of training steps, on batches of the input pipeline or on examples that are resident.

Resident examples are kept on each device, and batches are taken there: for accelerators, which a
pipeline that copies from the store can keep waiting. They are the store's float32, not bfloat16:
batches are then those of the pipeline to the bit, and a run may be resumed either way. Only example
indices, in the pipeline's order, are transferred per round.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from tqdm import tqdm

from ascjax.compute import rounds
from ascjax.compute.devices import local, replicate, share
from ascjax.data import batches
from ascjax.errors import UserError

# Share of a device's free memory that resident examples may take, by ``Schedule.resident``. Placing
# them takes twice their size, so half is all.
MEMORY_SHARES = {"off": 0.0, "auto": 0.25, "on": 0.5}

# The number of each round's last step, and what ``rounds.program`` takes.
Rounds = Iterator[tuple[int, dict[str, Any]]]


def fits_on_devices(
    resident: str, fragments: batches.Fragments, platform: str, free_bytes: float
) -> bool:
    """Returns whether the training split is kept on the devices, each of which holds all of it.

    Args:
      resident: one of ``MEMORY_SHARES``. ``auto`` keeps it on accelerators where it fits and says
        so where it doesn't; not on CPUs, which read the store as quickly.
      fragments: the training split.
      platform: the devices' platform.
      free_bytes: free memory of each device; infinite where it isn't known.

    Raises:
      UserError: ``resident`` is ``on`` and it doesn't fit.
    """
    if resident == "off" or (resident == "auto" and platform == "cpu"):
        return False
    needed_bytes = 4 * len(fragments) * fragments.log_mel.shape[2] * fragments.num_frames
    if needed_bytes <= MEMORY_SHARES[resident] * free_bytes:
        return True
    message = (
        f"the training split's log-mels are {needed_bytes / 1e9:.2f} GB, more than "
        f"{MEMORY_SHARES[resident]:.0%} of the {free_bytes / 1e9:.2f} GB free on a device"
    )
    if resident == "on":
        raise UserError(f"{message}, so they can't be resident; turn that off")
    tqdm.write(f"{message}: batches are read from the store")
    return False


def pipeline_rounds(
    fragments: batches.Fragments,
    devices: Sequence[jax.Device],
    periods: tuple[int, ...],
    inputs: Any,
    *,
    batch_size: int,
    **steps: int,
) -> Rounds:
    """Yields rounds of at most ``rounds.max_steps``, on batches cut out of the store.

    Args:
      fragments: the training split.
      devices: the devices that share each batch.
      periods: a round ends at each multiple of any of these numbers of steps.
      inputs: arrays that all steps share.
      batch_size: examples in a step over all devices.
      **steps: which steps; see ``batches.order``.

    Yields:
      The number of a round's last step, and the round for ``rounds.program``.
    """
    stream = (
        {name: values for name, values in batch.items() if name != "example"}
        for batch in batches.training(
            fragments, share=share(batch_size, devices), batch_size=batch_size, **steps
        )
    )
    periods = (rounds.max_steps(devices), *periods)
    return _rounds(stream, devices, periods, replicate(inputs, devices), **steps)


def resident_rounds(
    fragments: batches.Fragments,
    devices: Sequence[jax.Device],
    periods: tuple[int, ...],
    inputs: Any,
    *,
    batch_size: int,
    **steps: int,
) -> Rounds:
    """Places the examples on the devices and yields rounds for ``step_on_resident``.

    Arguments and yields are those of ``pipeline_rounds``; ``periods`` alone end a round.
    """
    inputs = replicate((inputs, _examples(fragments)), devices)
    order = batches.order(len(fragments), batch_size=batch_size, **steps)
    mine = share(batch_size, devices)
    # One by one: drawing indices ahead in threads takes twice as long.
    stream = (order[step][mine].astype(np.int32) for step in range(len(order)))
    return _rounds(stream, devices, periods, inputs, **steps)


def step_on_resident(step: Callable, fragments: batches.Fragments) -> Callable:
    """Returns ``step`` as a function of (state, example indices, (inputs, resident examples))."""
    shape = (-1, fragments.log_mel.shape[2], fragments.num_frames, 1)

    def gather_and_step(
        state: Any, indices: Array, inputs: tuple[Any, dict[str, Array]]
    ) -> tuple[Any, Array]:
        step_inputs, examples = inputs
        batch = {name: values[indices] for name, values in examples.items()}
        return step(state, {**batch, "log_mel": batch["log_mel"].reshape(shape)}, step_inputs)

    return gather_and_step


def _rounds(
    stream: Iterator[Any],
    devices: Sequence[jax.Device],
    periods: tuple[int, ...],
    inputs: Any,
    *,
    first_step: int,
    last_step: int,
    **_: int,
) -> Rounds:
    step, longest = first_step, min(periods)
    while step < last_step:
        count = min(last_step - step, *(period - step % period for period in periods))
        step += count
        stacked = rounds.stack(list(islice(stream, count)), longest, len(local(devices)))
        yield step, {**stacked, "inputs": inputs}


def _examples(fragments: batches.Fragments) -> dict[str, np.ndarray]:
    """Returns what `Fragments.take` does of a whole split, log_mel as [example, mel · frame]."""
    whole = fragments.take(np.arange(len(fragments)))
    del whole["example"]
    # Flat, as accelerators pad short axes.
    return {**whole, "log_mel": whole["log_mel"].reshape(len(fragments), -1)}
