"""A whole epoch through the input pipeline, beside as many steps on rounds of one resident batch.

Run: python -m benchmarks.epoch [--quick] [--trunk=vgg16] [--steps=30] [--batch=32] [--out=FILE]

The epoch is what the trainer does between checkpoints: batches of shuffled fragments (3 channels,
N_s = 6) cut out of a memory-mapped store, steps, losses fetched at the end. ``share of the steps
alone`` is the time of the resident steps over the epoch's: at least 0.95, the aim is 0.98.
``on the device`` is the same epoch with config.data.resident, the examples already there.
``pipeline alone`` draws the same batches and takes no step.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ascjax import cli
from ascjax.compute import rounds
from ascjax.compute.devices import local_devices, unreplicate
from ascjax.configs import common
from ascjax.data.batches import Fragments
from ascjax.training import feed
from benchmarks import measure, ours

CHANNELS, COUNT, FRAMES = 3, 6, 431


def stored(case: ours.Case, steps: int, folder: Path) -> Fragments:
    """Returns the examples of one epoch of ``steps`` steps, from a file on disk."""
    recordings = -(-steps * case.batch // (CHANNELS * COUNT))
    made = ours.fragments(recordings, CHANNELS, FRAMES, COUNT)
    np.save(folder / "log_mel.npy", made.log_mel)
    return replace(made, log_mel=np.load(folder / "log_mel.npy", mmap_mode="r"))


def train_on(training: ours.Training, stream: Iterable[Any]) -> None:
    """Takes every round, as the trainer does."""
    losses = [training.take(round_) for round_ in stream]
    training.wait()
    assert np.isfinite([unreplicate(loss) for loss in losses]).all()


def compare(case: ours.Case, steps: int, repeats: int, folder: Path) -> measure.Row:
    """Times an epoch from the pipeline and on the device, the steps and the pipeline alone."""
    built = ours.build(case)
    split = stored(case, steps, folder)
    devices = local_devices()
    training = ours.Training(built, devices)
    on_resident = ours.Training(built, devices, split)
    which = {"batch_size": case.batch, "seed": 0, "first_step": 0, "last_step": steps}
    length = min(rounds.max_steps(devices), steps)
    periods = (common.get_config().log_every_steps, steps)

    def drawn() -> Iterator[Any]:
        stream = feed.pipeline_rounds(split, devices, periods, built.inputs, **which)
        return (round_ for _, round_ in stream)

    placed: list[Iterator[Any]] = []

    def place() -> None:
        stream = feed.resident_rounds(split, devices, periods, built.inputs, **which)
        rest = (round_ for _, round_ in stream)
        first = jax.block_until_ready(next(rest))
        placed[:] = [itertools.chain([first], rest)]

    resident = [
        training.place(ours.batch(case), min(length, steps - first), length)
        for first in range(0, steps, length)
    ]
    seconds = measure.interleaved(
        {
            "epoch": lambda: train_on(training, drawn()),
            "on the device": lambda: train_on(on_resident, placed[0]),
            "steps": lambda: train_on(training, resident),
            "pipeline": lambda: list(map(len, drawn())),
        },
        repeats,
        warmup=1,
        before={"on the device": place},
    )
    flop = steps * ours.flops_of_step(built, ours.batch(case))
    pace = flop / measure.median(seconds["epoch"])
    peak = measure.matmul_peak(jnp.dtype(case.dtype))
    return {
        "trunk": case.trunk,
        "batch": case.batch,
        "steps": steps,
        "epoch s": measure.spread(seconds["epoch"]),
        "on the device s": measure.spread(seconds["on the device"]),
        "steps alone s": measure.spread(seconds["steps"]),
        "pipeline alone s": measure.spread(seconds["pipeline"]),
        "share of the steps alone": measure.spread(seconds["steps"] / seconds["epoch"]),
        "share on the device": measure.spread(seconds["steps"] / seconds["on the device"]),
        "GFLOP": flop / 1e9,
        "GFLOP/s": pace / 1e9,
        "share of peak": pace / peak,
    }


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("epoch", __doc__, repeats=3)
    add = parser.add_argument
    add("--trunk", default="vgg16")
    add("--head", choices=("gap", "mlp"), default="mlp")
    add("--steps", type=int, default=30)
    add("--batch", type=int, default=32)
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse(argv)
    if options.quick:
        options.trunk, options.steps, options.batch = "vgg_tiny", 10, 16
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    frames = FRAMES // COUNT
    case = ours.Case(options.trunk, options.head, frames, options.batch, options.dtype)
    with tempfile.TemporaryDirectory() as scratch:
        row = compare(case, options.steps, options.repeats, Path(scratch))
    measure.report("epoch", options, {"one epoch": [row]})


if __name__ == "__main__":
    cli.run(main, parse)
