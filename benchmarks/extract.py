"""The feature store at full size: time and memory by number of recordings, beside merely reading.

Run: python -m benchmarks.extract --root=DIR [--counts=500,2000,8640] [--out=FILE.json]

DIR is a set in any layout. Each store is made anew in a temporary folder under --scratch. Reported:
seconds per recording of extraction; of reading the same files and of reading and the front end
in one process, no store, over the workers; and the most anonymous memory (PSS would count the page
cache that a memory map shares with the system) that the parent and its workers held together.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from ascjax.audio import logmel, wave
from ascjax.audio.logmel import FrontEnd
from ascjax.data import recordings, store

CHANNELS = ("left", "right", "average")


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


def seconds_per_recording(
    part: Sequence[recordings.Recording], front_end: FrontEnd | None
) -> float:
    """Median time in one process to read a recording, and to make its log-mels if asked."""
    times = []
    for recording in part:
        start = time.perf_counter()
        samples, _ = wave.read(recording.path)
        if front_end is not None:
            np.asarray(logmel.log_mel(wave.to_channels(samples, CHANNELS), front_end))
        times.append(time.perf_counter() - start)
    return float(np.median(times[len(times) // 4 :]))  # the first ones compile and fill caches


def measure(root: Path, counts: Sequence[int], workers: int, scratch: Path) -> list[dict]:
    """Returns one row for each count, printed as it comes."""
    dataset = recordings.load(root)
    infos, _ = store.scan(dataset.recordings[:100], on_bad_file="stop")
    rate, duration_s = store.common_rate_and_duration(infos)
    front_end = FrontEnd(sample_rate_hz=rate)
    rows = []
    print("recordings  extract s  ms each  read ms  read+log-mel ms  of their pace  memory MB")
    for count in counts:
        part = dataset.recordings[:count]
        sample = part[:: max(1, len(part) // 100)]
        read, read_and_front_end = (
            seconds_per_recording(sample, front) for front in (None, front_end)
        )
        folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            with PeakMemory() as peak:
                start = time.perf_counter()
                store.prepare(
                    part, front_end=front_end, channels=CHANNELS, duration_s=duration_s,
                    store_dir=folder, num_workers=workers,
                )  # fmt: skip
                seconds = time.perf_counter() - start
        finally:
            shutil.rmtree(folder)
        row = {
            "recordings": len(part),
            "workers": workers,
            "extract_s": seconds,
            "read_s_each": read,
            "read_and_log_mel_s_each": read_and_front_end,
            "share_of_pace": read_and_front_end * len(part) / workers / seconds,
            "anonymous_mb": peak.megabytes,
        }
        rows.append(row)
        print(
            f"{len(part):10,}  {seconds:9.1f}  {1e3 * seconds / len(part):7.1f}  {1e3 * read:7.1f}"
            f"  {1e3 * read_and_front_end:15.1f}  {row['share_of_pace']:13.2f}"
            f"  {peak.megabytes:9.0f}"
        )
    return rows


def main() -> None:
    """Parses flags, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--counts", default="500,2000,8640")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=None, help="where stores are made")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    counts = [int(count) for count in options.counts.split(",")]
    rows = measure(options.root, counts, options.workers, options.scratch)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
