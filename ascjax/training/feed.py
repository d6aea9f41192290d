"""Rounds of training steps: on batches of the input pipeline, or on a part kept on the devices."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from tqdm import tqdm

from ascjax.compute.devices import replicate
from ascjax.compute.rounds import inputs, max_steps
from ascjax.data import batches
from ascjax.errors import UserError

# The share of a device's free memory that the part may take; placing it takes twice its size.
SHARES = {"off": 0.0, "auto": 0.25, "on": 0.5}

Rounds = Iterator[tuple[int, Any]]


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
    given = replicate(given, over)
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
    given = replicate((given, _load(fragments)), over)
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
