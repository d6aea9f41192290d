"""All programs, one after the other: python -m benchmarks.all [--quick] [--out=DIR].

--quick takes small sizes, under five minutes on two cores. Without it the machine should have
nothing else to do for an hour or two. Each program's JSON comes into DIR, under its name.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ascjax import cli
from ascjax.cli import Parser
from ascjax.errors import UserError, choose
from ascjax.files import as_path

PROGRAMS = (
    "frontend", "extract", "train_step", "inference", "predict", "epoch", "scaling", "convert",
    "export", "bulk",
)  # fmt: skip


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(prog="benchmarks.all", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="small sizes")
    add(
        "--out",
        type=as_path,
        default=Path("runs/benchmarks"),
        metavar="DIR",
        help="of the JSON files",
    )
    add("--only", default=",".join(PROGRAMS), metavar="NAMES", help="which programs, a,b,c")
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Runs the programs, each in a process of its own."""
    names = options.only.split(",")
    for name in names:
        choose("--only", name, dict.fromkeys(PROGRAMS))
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        start = time.perf_counter()
        arguments = [f"--out={options.out / name}.json", *(["--quick"] if options.quick else [])]
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments])
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
        failed += [name] if done.returncode else []
    if failed:
        raise UserError(f"{', '.join(failed)} failed: what went wrong stands above")


if __name__ == "__main__":
    cli.run(main, parse)
