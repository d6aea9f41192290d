"""Worker process of the feature store: audio file → row of log-mels on disk.

JAX is kept on one CPU thread of each worker: the processes share the cores, and an accelerator
belongs to the parent.
"""

import contextlib
import multiprocessing
import os
import pickle
import sys
import threading
import types
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from ascjax import signals
from ascjax.audio import isolated, wave
from ascjax.audio.frontend import FrontEnd
from ascjax.errors import UserError


@dataclass(frozen=True)
class Job:
    """What every worker of one extraction needs to know; ``path`` is the store's log_mel.npy."""

    path: Path
    front_end: FrontEnd
    channels: tuple[str, ...]
    num_samples: int
    min_duration_share: float


@dataclass(frozen=True)
class Result:
    """What became of one recording: the CRC-32 of its values, or the reason why there are none."""

    row: int
    crc32: int = 0
    reason: str | None = None


_job: Job


def start_worker(job: Job) -> None:
    """Sets this process up: the parent handles signals, JAX stays on one CPU thread."""
    global _job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signals.ignore()
    jax.config.update("jax_platforms", "cpu")
    os.environ["NPROC"] = "1"  # what XLA takes the number of its threads from
    _job = job


def _end_with_parent() -> None:
    """Ends this worker when its parent dies, which else would leave it waiting for work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def extract(files: Sequence[tuple[int, Path, float]]) -> list[Result]:
    """Writes log-mels into the store's file; bad files become reasons.

    Args:
      files: row, path and start in seconds of each recording.
    """
    results = []
    offset, row_bytes = _layout(_job.path)
    descriptor = os.open(_job.path, os.O_WRONLY)
    try:
        for row, path, start_s in files:
            try:
                values = log_mels(path, _job, start_s).tobytes()
            except wave.BadRecording as error:
                results.append(Result(row, reason=str(error)))
                continue
            # Not through a memory map: a full disk is an error here and a killed process there.
            try:
                _write(descriptor, values, offset + row * row_bytes)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(_job.path)) from None
            results.append(Result(row, crc32=zlib.crc32(values)))
    finally:
        os.close(descriptor)
    return results


@contextlib.contextmanager
def starting(job: Job) -> Iterator[None]:
    """Around calls that may start a worker: it gets no signals, and not the script that is run.

    A spawned process runs that script again, which would train there anew if it lacks the usual
    ``if __name__ == "__main__"``. Only a front end that it defines itself needs it.
    """
    script = sys.modules["__main__"]
    with signals.withheld():
        if b"__main__" not in pickle.dumps(job):
            sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


def one_by_one(job: Job, files: Sequence[tuple[int, Path, float]]) -> Iterator[Result]:
    """Yields the results of files each of which may end its worker, as a fault in a decoder does.

    Raises:
      UserError: a worker can't even start.
    """
    pool = None
    try:
        for row, path, start_s in files:
            try:
                if pool is None:
                    pool = ProcessPoolExecutor(
                        1, multiprocessing.get_context("spawn"), start_worker, (job,)
                    )
                    with starting(job):
                        started = pool.submit(os.getpid)
                    started.result()
            except BrokenProcessPool as error:
                raise UserError(
                    "a process that extracts features can't start; start the same command again, "
                    "with num_workers=1 if memory is short"
                ) from error
            try:
                [result] = pool.submit(extract, [(row, path, start_s)]).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool, result = None, Result(row, reason=str(isolated.died(path)))
            yield result
    finally:
        if pool is not None:
            pool.shutdown()


def _write(descriptor: int, values: bytes, offset: int) -> None:
    """Writes all of ``values``: one call may write less, on a disk that is nearly full."""
    written = 0
    while written < len(values):
        written += os.pwrite(descriptor, values[written:], offset + written)


def log_mels(path: Path, job: Job, start_s: float = 0.0) -> np.ndarray:
    """Returns float32 [channel, mel, frame] of one recording.

    Raises:
      BadRecording: it cannot be read, has less than ``job.min_duration_share`` of the length,
        or is so loud that its features are not finite.
    """
    rate = job.front_end.sample_rate_hz
    samples, _ = wave.read(path, rate, duration_s=job.num_samples / rate, start_s=start_s)
    samples = _fit(samples, rate, path, job)
    shares = wave.shares(job.channels, len(samples))
    try:
        return job.front_end(samples, shares)
    except UserError as error:
        raise wave.BadRecording(f"{path}: {error}") from None


def _fit(samples: np.ndarray, rate: int, path: Path, job: Job) -> np.ndarray:
    """Cuts or repeats [column, sample] to the job's number of samples."""
    missing = max(job.num_samples - samples.shape[1], 0)
    if missing > (1 - job.min_duration_share) * job.num_samples:
        raise wave.BadRecording(
            f"{path}: {samples.shape[1] / rate:.2f} s long, too short: expected at least "
            f"{job.min_duration_share:g} of the set's {job.num_samples / rate:.2f} s; leave it out "
            "or lower min_duration_share or duration_s"
        )
    return np.pad(samples, ((0, 0), (0, missing)), mode="wrap")[:, : job.num_samples]


def _layout(path: Path) -> tuple[int, int]:
    """Returns the offset of the first row in a .npy file and the bytes of one row."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(file)
        return file.tell(), int(np.prod(shape[1:])) * dtype.itemsize
