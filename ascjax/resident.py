"""The training part kept on the devices: batches are taken there, several steps a dispatch.

For accelerators, which a pipeline that copies from the store can keep waiting. What is kept is the
store's float32, not bfloat16: batches are then those of the pipeline to the bit, and a run may go
on either way. Only the numbers of examples, in the pipeline's order, are sent as it goes.
"""

from collections.abc import Callable, Iterator
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


def fits(choice: str, fragments: batches.Fragments, platform: str, free: float) -> bool:
    """Says whether the part is to be kept on the devices, each of which gets all of it.

    Args:
      choice: one of ``SHARES``. ``auto`` keeps it on accelerators where it fits and says so where
        it doesn't; not on CPUs, whose convolutions are many times slower inside of loops.
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


def feed(
    step: Callable,
    fragments: batches.Fragments,
    over: list[jax.Device],
    every: tuple[int, ...],
    **steps: int,
) -> tuple[Callable, Iterator[tuple[int, Any]]]:
    """Places a part on the devices, and cuts the steps of a run into rounds of one dispatch each.

    Args:
      step: a function of (state, batch) that gives the next state and a loss.
      fragments: the training part.
      over: the devices.
      every: a round ends at each multiple of any of these numbers of steps.
      **steps: which steps; see ``batches.order``.

    Returns:
      A function of (state, inputs), both with a leading device axis, that takes a round's steps and
      gives the state and their losses [device, step], with zeros up to the longest round; and an
      iterator of the number of a round's last step and its inputs.
    """
    shape = (fragments.log_mel.shape[2], fragments.num_frames, 1)

    def run(state: Any, inputs: dict[str, Any]) -> tuple[Any, Array]:
        def one(index: Array, carried: tuple[Any, Array]) -> tuple[Any, Array]:
            state, losses = carried
            examples = inputs["examples"][:, index]
            batch = {name: rows[examples] for name, rows in inputs["part"].items()}
            batch["log_mel"] = batch["log_mel"].reshape(-1, *shape)
            state, loss = step(state, batch)
            return state, losses.at[index].set(loss)

        # A loop of any length, not a scan: rounds of every length share one compiled program.
        losses = jnp.zeros(inputs["examples"].shape[1])
        return jax.lax.fori_loop(0, inputs["count"], one, (state, losses))

    def rounds() -> Iterator[tuple[int, Any]]:
        part = parallel.replicate(_load(fragments), over)
        order = batches.read(batches.order(len(fragments), **steps))
        last = steps["first_step"]
        while last < steps["last_step"]:
            count = min(period - last % period for period in every)
            examples = np.zeros((steps["batch_size"], min(every)), np.int32)
            examples[:, :count] = np.stack(list(islice(order, count)), axis=1)
            last += count
            inputs = {"part": part, "examples": parallel.shard(examples, len(over))}
            yield last, {**inputs, "count": np.full(len(over), count, np.int32)}

    return parallel.spread(run, over, donate=True), rounds()


def _load(fragments: batches.Fragments) -> dict[str, np.ndarray]:
    """Returns log_mel [example, mel · frame] and label [example] of the whole part."""
    whole = fragments.take(np.arange(len(fragments)))
    # Flat rows, as accelerators pad short axes.
    return {"log_mel": whole["log_mel"].reshape(len(fragments), -1), "label": whole["label"]}
