"""`ascjax predict` from process start: seconds to the first answer, and clips a second of many.

Run: python -m benchmarks.predict [--quick] [--run=DIR] [--root=DIR] [--count=400] [--out=FILE.json]

DIR of --run is a finished run or a network that comes with ascjax; --root has recordings, without
which a few clips are taken again and again. Each repeat is a process of its own, as a user starts
it; one before them fills the cache of compiled programs and the page cache. ``CPU s`` is what the
process's threads took together: on a machine that has other work to do, it shows more than the
clock. Goals, for a small network on two idle cores: 2 s to the first answer, 20 clips a second.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from ascjax import cli
from ascjax.audio.finding import find
from ascjax.files import as_path
from benchmarks import measure


def timed(command: Sequence[str], count: int) -> tuple[float, float, float]:
    """Runs a command that prints a line for each clip.

    Returns:
      Seconds to the first line after the header, to the end, and of CPU.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        first_s = time.perf_counter() - start
        others = process.stdout.read().count(b"\n")
    end_s = time.perf_counter() - start
    if process.returncode or others != count - 1:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}, {others} lines")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return first_s, end_s, cpu_s


def row(folder: Path, run: str, clips: Sequence[Path], repeats: int) -> measure.Row:
    """Predicts clips in a process of their own, several times."""
    folder.mkdir()
    for index, clip in enumerate(clips):
        (folder / f"{index:05}{clip.suffix}").symlink_to(clip.resolve())
    command = [sys.executable, "-m", "ascjax", "predict", f"--run={run}", str(folder)]
    timed(command, len(clips))
    first, end, cpu = zip(*(timed(command, len(clips)) for _ in range(repeats)), strict=True)
    return {
        "clips": len(clips),
        "first answer s": measure.spread(first),
        "all s": measure.spread(end),
        "clips/s": len(clips) / measure.median(end),
        "CPU s": measure.spread(cpu),
    }


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("predict", __doc__, repeats=5)
    add = parser.add_argument
    add("--run", default="esc10", metavar="DIR", help="see `ascjax predict`")
    add("--root", type=as_path, metavar="DIR", help="a folder of recordings")
    add("--count", type=int, default=400, help="clips of the second measurement")
    options = parser.parse(argv)
    if options.quick:
        options.count, options.repeats = 8, 1
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        found = find([options.root]) if options.root else measure.clips(folder)
        clips = list(islice(cycle(found), options.count))
        rows = [
            row(folder / str(count), options.run, clips[:count], options.repeats)
            for count in (1, options.count)
        ]
    measure.report("predict", options, {f"ascjax predict --run={options.run}": rows})


if __name__ == "__main__":
    cli.run(main, parse)
