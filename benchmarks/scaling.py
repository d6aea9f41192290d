"""Scaling: speed and equality of training on 1, 2, 4 and 8 devices, and a model of larger ones.

Run: python -m benchmarks.scaling [--quick] [--trunk=vgg16] [--batch=24] [--out=FILE.json]

Without accelerators the devices are eight parts of this host, which share its cores: their pace
shows the cost of spreading a step, not its gain. ``differs from one device by`` says how far apart
all parameters are after the first step, over how far those of one device have moved. Later steps of
a deep network without BatchNorm multiply any rounding. Where a convolution has a bias before
BatchNorm (vgg_tiny), its gradient is nothing but rounding and AdamW follows its sign: there some
1e-3 are harmless.

The model: a ring all-reduce of the gradients (float32) takes 2 (n − 1) / n × bytes / bandwidth and
2 (n − 1) latencies, and nothing overlaps with it. Defaults, from NVIDIA's data sheets of H100 SXM
and DGX H100: 989 TFLOP/s dense in bf16; NVLink at 900 GB/s both ways together, so 450 each, within
8; beyond, one 400 Gb/s adapter for each accelerator, 50 GB/s. The share of the peak that a step
reaches and the latency are assumptions.
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from ascjax import cli
from ascjax.compute.devices import check_batch_size, local_devices
from benchmarks import measure, ours

COUNTS = (1, 2, 4, 8)


def devices(case: ours.Case, repeats: int) -> list[measure.Row]:
    """Times steps on the same batch on ever more devices, and compares what they learn."""
    built, batch = ours.build(case), ours.batch(case)
    trainings = {
        count: ours.Training(built, local_devices(count))
        for count in COUNTS
        if count <= jax.local_device_count()
    }
    start = trainings[1].parameters()
    sides, after = {}, {}
    for count, training in trainings.items():
        check_batch_size(case.batch, count)
        sides[str(count)] = partial(training.take_and_wait, training.place(batch, 1, 1))
        sides[str(count)]()
        after[count] = training.parameters()
    seconds = measure.interleaved(sides, repeats, warmup=1)
    flop, peak = ours.flops_of_step(built, batch), measure.matmul_peak()
    rows = []
    for count in trainings:
        values = seconds[str(count)]
        pace = case.batch / measure.median(values)
        away = np.linalg.norm(after[count] - after[1]) / np.linalg.norm(after[1] - start)
        rows.append(
            {
                "devices": count,
                "step s": measure.spread(values),
                "fragments/s": pace,
                "share of one's pace": measure.spread(seconds["1"] / values),
                "GFLOP": flop / 1e9,
                "GFLOP/s": pace * flop / case.batch / 1e9,
                "share of peak": pace * flop / case.batch / peak,
                "differs from one device by": float(away),
            }
        )
    return rows


def exchange(options: argparse.Namespace) -> list[measure.Row]:
    """Models the exchange of gradients at 8, 64 and 512 accelerators, for each trunk."""
    rows = []
    for trunk in options.model_trunks:
        case = ours.Case(trunk, "mlp", 71, options.device_batch)
        built = ours.build(case)
        num_bytes = 4 * sum(x.size for x in jax.tree.leaves(built.variables["params"]))
        step_s = ours.flops_of_step(built, ours.batch(case)) / (
            options.share_of_peak * 1e12 * options.peak_tflop_s
        )
        for count in (8, 64, 512):
            gb_s = options.within_gb_s if count <= 8 else options.beyond_gb_s
            seconds = 2 * (count - 1) / count * num_bytes / (1e9 * gb_s)
            seconds += 2 * (count - 1) * 1e-6 * options.latency_us
            rows.append(
                {
                    "trunk": trunk,
                    "accelerators": count,
                    "gradients MB": num_bytes / 1e6,
                    "step alone ms": 1e3 * step_s,
                    "exchange ms": 1e3 * seconds,
                    "share of the pace kept": step_s / (step_s + seconds),
                }
            )
    return rows


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("scaling", __doc__, repeats=5)
    add = parser.add_argument
    add("--trunk", default="vgg16", help="that is trained here")
    add("--batch", type=int, default=24, help="fragments over all devices")
    add("--model_trunks", type=measure.words, default=["alexnet", "vgg16", "resnet50"])
    add("--device_batch", type=int, default=32, help="fragments on each accelerator (32)")
    add("--peak_tflop_s", type=float, default=989, help="of an accelerator (989)")
    add("--share_of_peak", type=float, default=0.45, help="that a step reaches (0.45)")
    add("--within_gb_s", type=float, default=450, help="each way among 8 accelerators (450)")
    add("--beyond_gb_s", type=float, default=50, help="each way among more (50)")
    add("--latency_us", type=float, default=5, help="of a message (5)")
    options = parser.parse(argv)
    if options.quick:
        options.trunk, options.batch, options.repeats = "vgg_tiny", 8, 3
        options.model_trunks = ["vgg16"]
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    # Read when JAX looks for devices; it matters where there is no accelerator.
    flag = f" --xla_force_host_platform_device_count={max(COUNTS)}"
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + flag
    case = ours.Case(options.trunk, "mlp", 71, options.batch)
    tables = {
        "the same steps on more devices": devices(case, options.repeats),
        "model, unmeasured: the exchange of gradients": exchange(options),
    }
    measure.report("scaling", options, tables)


if __name__ == "__main__":
    cli.run(main, parse)
