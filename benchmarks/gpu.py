"""What is to be measured on a GPU, one program after the other, within a time: JSON for each.

Run: python -m benchmarks.gpu [--minutes=13] [--out=DIR] [--root=ESC-10 --weights=FILE] [--smoke]

In order of worth: the training step of VGG-16, ResNet-50 and AlexNet in bf16 at 71 and 431 frames,
batch 32 and 128, beside PyTorch; inference; an epoch from the pipeline and with the resident part;
and, given --root (ESC-10) and --weights (a converted VGG-16), ESC-10's five folds from ImageNet and
from random weights, further seeds in turn. Each is a process of its own with a limit; one that
fails or passes it is noted and the next one starts. Whatever comes out lies in DIR at once: the
programs' own files, and gpu.json, which has them all. --smoke takes tiny sizes, on any machine.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ascjax import cli
from ascjax.cli import Parser
from ascjax.errors import UserError
from ascjax.files import as_path

# Less isn't worth a start.
LEAST_S = 20.0


@dataclass(frozen=True)
class Job:
    """A program: its name here, its command, the file it writes, its limit in seconds."""

    name: str
    command: list[str]
    result: Path
    limit_s: float


def plan(options: argparse.Namespace) -> Iterator[Job]:
    """Yields all programs in order of worth."""
    smoke, out = options.smoke, options.out

    def benchmark(name: str, limit_s: float, program: str, *flags: str) -> Job:
        result = out / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{program}", *flags, f"--out={result}"]
        return Job(name, command, result, limit_s)

    low = [f"--dtype={'float32' if smoke else 'bfloat16'}", "--no_compile"]
    repeats = f"--repeats={1 if smoke else 5}"
    sizes = [(63, 8)] if smoke else [(71, 32), (71, 128), (431, 32), (431, 128)]
    trunks = ["alexnet"] if smoke else ["vgg16", "resnet50", "alexnet"]
    steps = [
        benchmark(
            f"train_step-{trunk}-{frames}-{batch}", 90, "train_step", f"--trunks={trunk}",
            "--heads=mlp", f"--frames={frames}", f"--batch={batch}", repeats, *low,
            "--no_autocast",
        )
        for frames, batch in sizes
        for trunk in trunks
    ]  # fmt: skip
    yield from steps[: 2 * len(trunks)]
    size = ["--trunk=alexnet", "--recordings=1", "--batch=18"] if smoke else ["--recordings=96"]
    if not smoke:
        size.append("--batch=288")
    yield benchmark("inference", 90, "inference", *size, repeats, *low, "--no_autocast")
    size = ["--trunk=vgg_tiny", "--steps=2", "--batch=8"] if smoke else ["--steps=160"]
    yield benchmark("epoch", 120, "epoch", *size, "--repeats=1" if smoke else "--repeats=3", low[0])
    yield from steps[2 * len(trunks) :]
    yield from _claims(options)


def _claims(options: argparse.Namespace) -> Iterator[Job]:
    if not (options.root and options.weights):
        return
    for seed in range(1, 1 + options.seeds):
        for start, weights in (("imagenet", options.weights), ("random", "random")):
            workdir = options.out / f"esc10-{start}-{seed}"
            settings = {
                "seed": seed, "data.root": options.root, "init.weights": weights,
                "data.store_dir": options.store or options.out / "store", "data.resident": "on",
                "model.compute_dtype": "bfloat16", "checkpoint.every_epochs": 10,
            }  # fmt: skip
            if options.smoke:
                settings |= {
                    "train.num_epochs": 1, "train.batch_size": 8, "model.trunk": "vgg_tiny",
                    "init.weights": "random",
                }  # fmt: skip
            flags = [f"--config.{key}={value}" for key, value in settings.items()]
            command = [sys.executable, "-m", "ascjax", "train", "--config=esc10_vgg", *flags]
            command += ["--folds=all", f"--workdir={workdir}"]
            yield Job(f"esc10-{start}-{seed}", command, workdir / "folds.json", 240)


def run(job: Job, limit_s: float, logs: Path) -> dict[str, Any]:
    """Runs a program for so long at most, its log in a folder; returns what became of it."""
    started = time.monotonic()
    log = logs / f"{job.name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(job.command, stdout=file, stderr=subprocess.STDOUT)
        try:
            state = "done" if process.wait(limit_s) == 0 else f"failed ({process.returncode})"
        except subprocess.TimeoutExpired:
            state = f"stopped after {limit_s:.0f} s"
        finally:
            process.kill()
            process.wait()
    found = {"state": state, "seconds": round(time.monotonic() - started, 1)}
    if state == "done":
        return {**found, "result": json.loads(job.result.read_text())}
    return {**found, "log": log.read_text(errors="replace")[-2000:]}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(prog="benchmarks.gpu", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=13.0, help="for all programs (13)")
    add("--out", type=as_path, default=Path("runs/gpu"), metavar="DIR", help="of the JSON files")
    add("--root", metavar="DIR", help="ESC-10, for its claims")
    add("--weights", metavar="FILE", help="a converted VGG-16, for ESC-10's claims")
    add("--store", metavar="DIR", help="features of ESC-10, if extracted before")
    add("--seeds", type=int, default=3, help="of ESC-10's claims (3)")
    add("--smoke", action="store_true", help="tiny sizes, on any machine")
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Runs the programs that the time allows, and writes gpu.json after each."""
    end = time.monotonic() + 60 * options.minutes
    found: dict[str, Any] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    for job in plan(options):
        left_s = end - time.monotonic()
        command = " ".join(job.command[1:])
        if left_s < LEAST_S:
            found[job.name] = {"command": command, "state": "no time left"}
        else:
            found[job.name] = {
                "command": command,
                **run(job, min(job.limit_s, left_s), options.out),
            }
        (options.out / "gpu.json").write_text(json.dumps(found, indent=1))
        print(f"{job.name}: {found[job.name]['state']}", flush=True)
    failed = [name for name, each in found.items() if each["state"].startswith("failed")]
    if failed:
        raise UserError(f"{', '.join(failed)} failed: gpu.json has the ends of their logs")


if __name__ == "__main__":
    cli.run(main, parse)
