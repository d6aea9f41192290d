"""Conversion: time and peak memory by architecture, from checkpoints of random weights.

Run: python -m benchmarks.convert [--quick] [--architectures=vgg16,...] [--out=FILE.json]

Each conversion is a process of its own, its start included: proven block by block against
torchvision, and without the proof. Memory is the most that was resident, libraries and mapped files
included. Beside it stands eqxvision, which reads the same file (and proves nothing), if it can be
imported; flaxmodels has no converter, it downloads files of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ascjax import cli
from ascjax.errors import UserError
from benchmarks import measure

# In a process of its own too: Linux counts a parent's peak of memory in its children's.
MAKE = """
import sys, torch
from convert.reference import import_torchvision
model = import_torchvision().models.get_model(sys.argv[1], weights=None)
torch.save(model.state_dict(), sys.argv[2])
"""
EQXVISION = (
    "import sys, torch, eqxvision.models as m; getattr(m, sys.argv[1])(torch_weights=sys.argv[2])"
)


def missing(package: str) -> str:
    """Returns why a package can't be imported, or an empty string."""
    tried = subprocess.run(
        [sys.executable, "-c", f"import {package}"], capture_output=True, text=True
    )
    return tried.stderr.strip().splitlines()[-1] if tried.returncode else ""


def cost(arguments: list[str]) -> tuple[float, float]:
    """Runs Python with ``arguments``; returns seconds and the peak of resident memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"python {' '.join(arguments)} failed: what it said stands above")
    return time.perf_counter() - start, usage.ru_maxrss / 1e3


def compare(architecture: str, repeats: int, folder: Path, eqxvision: bool) -> measure.Row:
    """Times one architecture in every way."""
    source = folder / f"{architecture}.pth"
    cost(["-c", MAKE, architecture, str(source)])
    file_mb = source.stat().st_size / 1e6
    convert = ["-m", "convert", architecture, "--source", str(source), "--out", str(folder)]
    ways = {"proven": convert, "not proven": [*convert, "--no-proof"]}
    if eqxvision:
        ways["eqxvision"] = ["-c", EQXVISION, architecture, str(source)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, arguments in ways.items():
            found[name].append(cost(arguments))
    row: measure.Row = {"architecture": architecture, "file MB": file_mb}
    for name, runs in found.items():
        row[f"{name} s"] = measure.spread([seconds for seconds, _ in runs])
        row[f"{name} MB"] = measure.median([megabytes for _, megabytes in runs])
    source.unlink()
    return row


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("convert", __doc__, repeats=3)
    names = ["alexnet", "vgg16", "vgg16_bn", "resnet18", "resnet50"]
    parser.add_argument("--architectures", type=measure.words, default=names)
    options = parser.parse(argv)
    if options.quick:
        options.architectures, options.repeats = ["resnet18"], 1
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    lacking = missing("eqxvision")
    with tempfile.TemporaryDirectory() as scratch:
        rows = [
            compare(name, options.repeats, Path(scratch), eqxvision=not lacking)
            for name in options.architectures
        ]
    others = [
        {"package": "eqxvision", "state": lacking or "measured"},
        {"package": "flaxmodels", "state": missing("flaxmodels") or "has no converter"},
    ]
    measure.report("convert", options, {"conversion": rows, "others": others})


if __name__ == "__main__":
    cli.run(main, parse)
