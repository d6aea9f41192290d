"""The pace of a config's training on this machine: its first steps, in a process of its own."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ascjax import records
from ascjax.compute import rounds
from ascjax.compute.devices import local_devices, peak_memory_gb, replicate
from ascjax.data.batches import Fragments
from ascjax.setup import network as builders
from ascjax.training import feed
from ascjax.training.evaluator import Evaluator
from ascjax.training.step import initial_state, train_step


@dataclass(frozen=True)
class Pace:
    """What the first steps of a row took.

    Attributes:
      step_s: a training step, after the first, which compiles.
      compile_s: the first step beyond that.
      evaluation_s: a batch of evaluation, its first beside.
      peak_memory_gb: of the process, and of a device.
    """

    step_s: float
    compile_s: float
    evaluation_s: float
    peak_memory_gb: dict[str, float]


def pace(
    config: ConfigDict,
    *,
    num_scenes: int,
    input_shape: tuple[int, int],
    num_examples: int,
    steps: int,
) -> Pace:
    """Takes the first steps of a config's training, on noise of its data's shape, and times them.

    Neither values nor initial weights have a part in it; batches come from memory, not the store.
    """
    devices = local_devices(config.num_devices)
    networks = builders.networks(config, None, num_scenes, input_shape)
    mean, deviation = np.zeros(input_shape[0], np.float32), np.ones(input_shape[0], np.float32)
    step_config, inputs = builders.step(
        config,
        networks,
        builders.schedule(config, num_examples),
        num_scenes=num_scenes,
        mean=mean,
        deviation=deviation,
    )
    state = replicate(initial_state(step_config, networks.variables), devices)
    program = rounds.program(partial(train_step, config=step_config), devices)
    size = config.train.batch_size

    def train(first: int, last: int) -> None:
        nonlocal state
        which = {"batch_size": size, "seed": 0, "first_step": first, "last_step": last}
        part = _noise(size, input_shape, num_scenes, taught=bool(config.train.teacher))
        for _, round_ in feed.pipeline_rounds(
            part, devices, (config.log_every_steps,), inputs, **which
        ):
            state, _ = program(state, round_)
        jax.block_until_ready(state)

    first_s = timed(partial(train, 0, 1))
    step_s = timed(partial(train, 1, 1 + steps)) / steps
    evaluator = Evaluator(networks.evaluation, mean, deviation, devices, config.eval.batch_size)
    part = _noise(config.eval.batch_size, input_shape, num_scenes)
    variables = replicate(networks.variables, devices)
    evaluator(variables, part)
    return Pace(
        step_s=step_s,
        compile_s=max(0.0, first_s - step_s),
        evaluation_s=timed(partial(evaluator, variables, part)),
        peak_memory_gb=peak_memory_gb(),
    )


def _noise(
    count: int, input_shape: tuple[int, int], num_scenes: int, *, taught: bool = False
) -> Fragments:
    """Returns fragments, with scores of a teacher that knows nothing if they are taught."""
    rng = np.random.default_rng(0)
    log_mel = rng.standard_normal((count, 1, *input_shape), np.float32)
    labels = (np.arange(count) % num_scenes).astype(np.int32)
    targets = np.full((count, num_scenes), 1 / num_scenes, np.float32) if taught else None
    return Fragments(log_mel, np.arange(count), labels, 1, targets=targets)


def timed(call: Callable[[], Any]) -> float:
    """Returns the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _main() -> None:
    work = json.load(sys.stdin)
    config = ConfigDict(work.pop("config"))
    shape = tuple(work.pop("input_shape"))
    print(records.encode(pace(config, input_shape=shape, **work)).decode().replace("\n", ""))


if __name__ == "__main__":
    _main()
