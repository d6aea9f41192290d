"""The feature store at full size: time and memory by number of recordings, beside merely reading.

Run: python -m benchmarks.extract [--quick] [--root=DIR] [--counts=500,2000,8640] [--out=FILE.json]

DIR is a set in any layout; without it a few clips stand in for as many recordings as are asked for.
Each store is made anew in a temporary folder under --scratch. Reported: ms a recording of
extraction; of reading the same files, and of reading and the front end, in one process without a
store; ``share of their pace``, what the workers keep of the latter times their number (at least
0.8); and the most anonymous memory that the parent and its workers held together (PSS would count
the page cache that a memory map shares with the system). Time is to be linear and memory flat.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from ascjax import cli
from ascjax.audio import wave
from ascjax.audio.logmel import LogMel
from ascjax.data import dataset, extract, store
from ascjax.data.choice import choose_rate_and_duration
from ascjax.files import as_path
from benchmarks import frontend, measure


class PeakMemory:
    """The most anonymous memory, in MB, of this process and its children within a ``with``."""

    def __enter__(self) -> "PeakMemory":
        self.megabytes = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        parent = psutil.Process()
        while not self._stop.wait(0.2):
            total = 0
            for process in [parent, *parent.children(recursive=True)]:
                try:
                    memory = process.memory_info()
                except psutil.NoSuchProcess:
                    continue
                total += memory.rss - memory.shared
            self.megabytes = max(self.megabytes, total / 1e6)


def stand_in(count: int, folder: Path) -> Path:
    """Returns a set of so many recordings, which are links to a few clips."""
    clips = measure.clips(folder)
    root = folder / "set"
    for index in range(count):
        link = root / f"scene{index % 2}" / f"{index:05}.wav"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(clips[index % len(clips)].resolve())
    return root


def ms_each(part: Sequence[dataset.Recording], job: extract.Job | None) -> float:
    """Returns the median time to read a recording, or to make its log-mels if there is a job."""
    times = []
    for recording in part:
        start = time.perf_counter()
        if job is None:
            wave.read(recording.path)
        else:
            extract.log_mels(recording.path, job)
        times.append(time.perf_counter() - start)
    return 1e3 * measure.median(times[len(times) // 4 :])  # the first ones compile, fill caches


def measure_store(
    part: Sequence[dataset.Recording], workers: int, scratch: Path, peak: float
) -> measure.Row:
    """Makes the store of some recordings, and reads some of them without one.

    ``peak`` is the matmul peak of one thread, which is what each worker has.
    """
    infos, _ = store.scan(part[:100], on_bad_file="stop")
    choice = choose_rate_and_duration(infos.values())
    rate, duration_s = choice.sample_rate_hz, choice.duration_s
    front_end = LogMel(sample_rate_hz=rate)
    job = extract.Job(Path(os.devnull), front_end, frontend.CHANNELS, round(duration_s * rate), 0.5)
    sample = part[:: max(1, len(part) // 100)]
    read, read_and_front_end = ms_each(sample, None), ms_each(sample, job)
    with tempfile.TemporaryDirectory(dir=scratch) as folder, PeakMemory() as memory:
        start = time.perf_counter()
        store.prepare(
            part, front_end=front_end, channels=frontend.CHANNELS, duration_s=duration_s,
            store_dir=Path(folder), num_workers=workers,
        )  # fmt: skip
        seconds = time.perf_counter() - start
    flop = len(part) * frontend.flop(front_end, job.num_samples)
    return {
        "recordings": len(part),
        "workers": workers,
        "extraction s": seconds,
        "ms each": 1e3 * seconds / len(part),
        "reading ms": read,
        "reading + log-mel ms": read_and_front_end,
        "GFLOP": flop / 1e9,
        "GFLOP/s": flop / seconds / 1e9,
        "share of peak": flop / seconds / (workers * peak),
        "share of their pace": read_and_front_end * len(part) / workers / (1e3 * seconds),
        "memory MB": memory.megabytes,
    }


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("extract", __doc__)
    add = parser.add_argument
    add("--root", type=as_path, metavar="DIR", help="a data set")
    add("--counts", type=measure.numbers, default=[500, 2000, 8640])
    add("--workers", type=int, default=os.cpu_count())
    add("--scratch", type=as_path, metavar="DIR", help="where stores are made")
    options = parser.parse(argv)
    if options.quick:
        options.counts = [40, 80]
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    # As the workers of the store have it; read when JAX starts.
    os.environ["NPROC"] = "1"
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        root = options.root or stand_in(max(options.counts), Path(folder))
        found = dataset.load(root).recordings
        peak = measure.matmul_peak()
        rows = [
            measure_store(found[:count], options.workers, options.scratch, peak)
            for count in options.counts
        ]
    measure.report("extract", options, {"the feature store": rows})


if __name__ == "__main__":
    cli.run(main, parse)
