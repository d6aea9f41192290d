"""The training step: ours beside PyTorch's, trunk × head × length of a fragment.

Run: python -m benchmarks.train_step [--quick] [--trunks=vgg16,...] [--heads=gap,mlp]
       [--frames=71,431] [--batch=12] [--dtype=bfloat16] [--convolutions] [--out=FILE.json]

Both sides do the same work from the same weights on the same batch, which lies where it is used:
normalisation, cross entropy, clipping, AdamW; ``loss differs by`` says how far apart the losses of
the first step are. A turn is one untimed step and four timed ones, on a GPU twenty, as steps follow
steps in training; losses are fetched at its end. Ours are dispatched as by the main job,
on the CPU four at once, on a GPU ten. PyTorch's is the fastest of eager, channels_last and
torch.compile, with as many threads; its bf16 autocast is stated beside, which takes several times
as long on processors without bf16 instructions (--no_autocast). ``share of peak`` is of the
fastest product of matrices in the same run; operations are counted as the plain sum over taps takes
them, so it may pass 1.
--convolutions compares only VGG-16's, and their gradients, with XLA's own.
CPU, float32: at least 0.9 × PyTorch, the aim is 1.1. GPU, bfloat16: 1.2 × PyTorch and, for VGG-16,
45 % of the peak.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp

from ascjax import cli
from ascjax.compute import rounds
from ascjax.compute.devices import local_devices
from benchmarks import convolutions, measure, ours, torch_side


def compare(
    case: ours.Case, repeats: int, variants: Sequence[str], peak: float, *, autocast: bool
) -> measure.Row:
    """Times one case on both sides; with ``autocast`` PyTorch's bf16 beside float32."""
    built, batch = ours.build(case), ours.batch(case)
    network = torch_side.network(case.trunk, case.head, built.variables)
    low = case.dtype == "bfloat16"
    autocast = autocast and not low
    devices = local_devices()
    steps = 4 if devices[0].platform == "cpu" else 20
    training, length = ours.Training(built, devices), rounds.max_steps(devices)
    first, round_ = (training.place(batch, count, length) for count in (1, length))
    sides: dict[str, Callable[[], Any]] = {
        "ours": partial(training.take_and_wait, round_, steps // length)
    }
    before: dict[str, Callable[[], Any]] = {"ours": partial(training.take_and_wait, first)}

    def add(name: str, variant: str, *, bfloat16: bool) -> None:
        step = torch_side.train_step(copy.deepcopy(network), batch, variant, bfloat16=bfloat16)
        # As in ours, a loss is fetched when all steps have been dispatched.
        sides[name] = lambda: [float(loss) for loss in [step() for _ in range(steps)]]
        before[name] = lambda: float(step())

    for name in variants:
        add(name, name, bfloat16=low)
    if autocast:
        add("autocast", "channels_last", bfloat16=True)
    losses = [sides["ours"](), sides["eager"]()]
    timed = measure.interleaved(sides, repeats, warmup=1, before=before)
    seconds = {name: values / steps for name, values in timed.items()}
    best = min(variants, key=lambda name: measure.median(seconds[name]))
    flop = ours.flops_of_step(built, batch)
    pace = flop / measure.median(seconds["ours"])
    row: measure.Row = {
        "trunk": case.trunk,
        "head": case.head,
        "frames": case.frames,
        "batch": case.batch,
        "dtype": case.dtype,
        "ours s": measure.spread(seconds["ours"]),
        "PyTorch s": measure.spread(seconds[best]),
        "its best": best,
        "ours is faster by": measure.spread(seconds[best] / seconds["ours"]),
    }
    if autocast:
        row["its bf16 autocast s"] = measure.spread(seconds["autocast"])
    return {
        **row,
        "GFLOP": flop / 1e9,
        "GFLOP/s": pace / 1e9,
        "share of peak": pace / peak,
        "loss differs by": abs(float(losses[0][0]) - losses[1][0]),
    }


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("train_step", __doc__, repeats=9)
    add = parser.add_argument
    add("--trunks", type=measure.words, default=["alexnet", "vgg16", "resnet50"])
    add("--heads", type=measure.words, default=["gap", "mlp"])
    add("--frames", type=measure.numbers, default=[71, 431], help="of a fragment")
    add("--batch", type=int, default=12)
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of both sides")
    add("--no_compile", action="store_true", help="leave torch.compile out")
    add("--no_autocast", action="store_true", help="leave PyTorch's bf16 beside float32 out")
    add("--convolutions", action="store_true", help="only these, of VGG-16")
    options = parser.parse(argv)
    if options.quick:
        options.trunks, options.heads, options.frames = ["alexnet", "vgg16"], ["gap"], [71]
        options.batch, options.repeats = 4, 3
        options.no_compile = options.no_autocast = True
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    if options.convolutions:
        rows = convolutions.compare(options.batch, options.frames[0], options.repeats)
        measure.report("train_step", options, {"convolutions": rows})
        return
    variants, note = torch_side.variants(not options.no_compile)
    peak = measure.matmul_peak(jnp.dtype(options.dtype))
    cases = [
        ours.Case(trunk, head, frames, options.batch, options.dtype)
        for frames in options.frames
        for trunk in options.trunks
        for head in options.heads
    ]
    autocast = not options.no_autocast
    rows = [compare(case, options.repeats, variants, peak, autocast=autocast) for case in cases]
    title = f"one step; {note}matmul peak {peak / 1e9:.0f} GFLOP/s"
    measure.report("train_step", options, {title: rows})


if __name__ == "__main__":
    cli.run(main, parse)
