"""Inference: recordings a second with all fragments and channels fused, and one from its file.

Run: python -m benchmarks.inference [--quick] [--trunk=vgg16] [--dtype=bfloat16] [--out=FILE.json]

N_s = 6 fragments of 3 channels; a score is the mean of 18 posteriors. Throughput is from log-mels
in memory, by our evaluation and by PyTorch's network with the same weights. Latency is from the
file to the scores; there PyTorch's network follows librosa. ``scores differ by`` is the largest
difference between the sides. CPU, float32: at least 1.0 × PyTorch's fastest; the aim is 1.2.
"""

import argparse
import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ascjax import cli
from ascjax.audio import wave
from ascjax.compute.devices import local_devices, replicate
from ascjax.data.batches import Fragments
from ascjax.models import cost
from ascjax.scoring import fusion
from ascjax.training.evaluator import Evaluator
from benchmarks import frontend, measure, ours, torch_side

COUNT = 6
A_RECORDING = COUNT * len(frontend.CHANNELS)
Scorer = Callable[[np.ndarray], np.ndarray]


def our_scorer(built: ours.Built, batch: int) -> Scorer:
    """Returns a function from log-mels [recording, channel, mel, frame] to scores."""
    devices = local_devices()
    batch = -(-batch // len(devices)) * len(devices)
    inputs = built.inputs
    evaluator = Evaluator(built.network, inputs.mean, inputs.deviation, devices, batch)
    variables = replicate(built.variables, devices)
    return lambda log_mel: fusion.fuse(evaluator(variables, _fragments(log_mel)))


def torch_scorer(network: Any, variant: str, batch: int, **options: Any) -> Scorer:
    """Returns such a function of PyTorch's."""
    posteriors = torch_side.posteriors(copy.deepcopy(network), variant, batch, **options)

    def score(log_mel: np.ndarray) -> np.ndarray:
        cut = _fragments(log_mel)
        values = posteriors(cut.take(np.arange(len(cut)))["log_mel"])
        return fusion.fuse(values.reshape(*cut.shape, -1))

    return score


def _fragments(log_mel: np.ndarray) -> Fragments:
    indices = np.arange(len(log_mel))
    return Fragments(log_mel, indices, np.zeros_like(indices), COUNT)


def scorers(options: argparse.Namespace, built: ours.Built, batch: int) -> dict[str, Scorer]:
    """Returns every side's function by name."""
    network = torch_side.network(options.trunk, options.head, built.variables)
    low = options.dtype == "bfloat16"
    made = {"ours": our_scorer(built, batch)}
    for variant in torch_side.variants(not options.no_compile)[0]:
        made[variant] = torch_scorer(network, variant, batch, bfloat16=low)
    if not (low or options.no_autocast):
        made["bf16 autocast"] = torch_scorer(network, "channels_last", batch, bfloat16=True)
    return made


def from_file(name: str, score: Scorer, path: Path) -> np.ndarray:
    """Returns the scores of a file: read, made a log-mel by ours or by librosa, scored."""
    columns, _ = wave.read(path)
    front_end = frontend.ours if name == "ours" else frontend.librosa_float32
    return score(front_end(columns)[None])


def rows(
    sides: Mapping[str, Callable[[], np.ndarray]], recordings: int, flop: float, options: Any
) -> list[measure.Row]:
    """Times all sides; ``flop`` is for one recording."""
    scores = {name: run() for name, run in sides.items()}
    seconds = measure.interleaved(sides, options.repeats, warmup=1)
    made = []
    for name, values in seconds.items():
        pace = recordings / measure.median(values)
        made.append(
            {
                "side": name,
                "s": measure.spread(values),
                "recordings/s": pace,
                "ours is faster by": measure.spread(values / seconds["ours"]),
                "GFLOP/s": pace * flop / 1e9,
                "share of peak": "" if name == "bf16 autocast" else pace * flop / options.peak,
                "scores differ by": float(np.abs(scores[name] - scores["ours"]).max()),
            }
        )
    return made


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("inference", __doc__, repeats=7)
    add = parser.add_argument
    add("--trunk", default="vgg16")
    add("--head", choices=("gap", "mlp"), default="mlp")
    add("--recordings", type=int, default=24)
    add("--batch", type=int, default=72, help="fragments at a time, for throughput")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of both sides")
    add("--no_compile", action="store_true", help="leave torch.compile out")
    add("--no_autocast", action="store_true", help="leave PyTorch's bf16 beside float32 out")
    options = parser.parse(argv)
    if options.quick:
        options.recordings, options.batch = 2, 18
        options.repeats = 3
        options.no_compile = options.no_autocast = True
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    options.peak = measure.matmul_peak(jnp.dtype(options.dtype))
    frames = frontend.FRONT_END.num_frames(480_000)
    case = ours.Case(options.trunk, options.head, frames // COUNT, A_RECORDING, options.dtype)
    built = ours.build(case)
    flop = A_RECORDING * cost.of_example(built.network, (ours.NUM_MELS, case.frames))
    log_mel = ours.fragments(options.recordings, len(frontend.CHANNELS), frames).log_mel
    many = {
        name: partial(score, log_mel)
        for name, score in scorers(options, built, options.batch).items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        path = measure.clips(Path(scratch))[0]
        one = {
            name: partial(from_file, name, score, path)
            for name, score in scorers(options, built, A_RECORDING).items()
        }
        _, note = torch_side.variants(not options.no_compile)
        note += f"{flop / 1e9:.1f} GFLOP each, matmul peak {options.peak / 1e9:.0f} GFLOP/s"
        tables = {
            f"{options.recordings} recordings; {note}": rows(
                many, options.recordings, flop, options
            ),
            "one recording, from its file": rows(one, 1, flop, options),
        }
    measure.report("inference", options, tables)


if __name__ == "__main__":
    cli.run(main, parse)
