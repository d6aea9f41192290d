"""The feature store: log-mels of a whole set, extracted once, memory-mapped, resumable, verified.

A store is a folder named by the hash of everything that shapes its values: the front end, the
channels, the length, and each file's name, size and time of change. It holds

    settings.json   what was hashed, for people
    log_mel.npy     float32 [recording, channel, mel, frame]
    rows.npy        for each recording: missing, done or bad, and the CRC-32 of its values
    bad.json        {name: reason} of recordings that could not be read

A row is marked done only after all its values are in the file, so a reader never sees half of one.
Whoever opens the store checks every row against its CRC-32; damaged ones are extracted again.
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ascjax.audio import isolated, wave
from ascjax.audio.frontend import FrontEnd
from ascjax.data import extract
from ascjax.data import rows as tables
from ascjax.data.dataset import Recording
from ascjax.data.rows import BAD, DONE, MISSING
from ascjax.errors import UserError
from ascjax.files import exclusive, write_json
from ascjax.signals import StopRequest, withheld
from ascjax.words import counted

_FORMAT = 1


@dataclass(frozen=True)
class FeatureStore:
    """Log-mels of a set, in the order of its recordings.

    Attributes:
      path: the folder.
      front_end: what made them.
      channels: names along axis 1 of ``log_mel``.
      log_mel: float32 [recording, channel, mel, frame], memory-mapped, read-only.
      usable: bool [recording]; False where the file could not be read.
      bad: reason by recording name, for those.
    """

    path: Path
    front_end: FrontEnd
    channels: tuple[str, ...]
    log_mel: np.ndarray
    usable: np.ndarray
    bad: dict[str, str]


def scan(
    recordings: Sequence[Recording], *, on_bad_file: str
) -> tuple[dict[int, wave.Info], dict[str, str]]:
    """Reads the header of every recording.

    Returns:
      The header by index of the recording, and the reason by name of those that have none.

    Raises:
      BadRecording: a file has no readable header and ``on_bad_file`` is ``"stop"``.
      UserError: no file has one.
    """
    infos, bad = {}, {}
    headers = isolated.each(wave.probe, [recording.path for recording in recordings])
    for index, (recording, header) in enumerate(zip(recordings, headers, strict=True)):
        if isinstance(header, wave.Info):
            infos[index] = header
        elif on_bad_file == "stop":
            raise header
        else:
            bad[recording.name] = str(header)
    if not infos:
        first = next(iter(bad.values()))
        raise UserError(f"none of the {len(recordings)} recordings can be read: {first}")
    return infos, bad


def prepare(
    recordings: Sequence[Recording],
    *,
    front_end: FrontEnd,
    channels: Sequence[str],
    duration_s: float,
    store_dir: Path,
    num_workers: int = 0,
    on_bad_file: str = "stop",
    min_duration_share: float = 0.5,
    stop: StopRequest | None = None,
    known_bad: dict[str, str] | None = None,
) -> FeatureStore:
    """Opens the store of these recordings and settings, after extracting what it still lacks.

    Args:
      recordings: the set, in the order of the store's rows.
      front_end: the front end; recordings of another rate are resampled to its rate.
      channels: which channels, in this order.
      duration_s: seconds taken from the start of each recording.
      store_dir: the folder that holds stores.
      num_workers: processes that read and extract; 0 for one a core.
      on_bad_file: ``"stop"`` at a file that cannot be read, or ``"skip"`` it.
      min_duration_share: share of ``duration_s`` that a recording must have, 0..1; one that is
        shorter than ``duration_s`` is repeated to fill it.
      stop: asked between recordings.
      known_bad: reasons by name of recordings already found unreadable.

    Raises:
      BadRecording: a file cannot be read and ``on_bad_file`` is ``"stop"``.
      UserError: no disk space, an unwritable folder, a damaged store, or another process is
        extracting here.
      Stopped: ``stop`` was requested; what was done is kept.
    """
    settings = {
        "format": _FORMAT,
        "front_end": front_end.to_dict(),
        "channels": list(channels),
        "duration_s": duration_s,
        "min_duration_share": min_duration_share,
    }
    num_samples = round(duration_s * front_end.sample_rate_hz)
    shape = (
        len(recordings),
        len(channels),
        front_end.num_mels,
        front_end.num_frames(num_samples),
    )
    path = Path(store_dir) / _fingerprint(settings, recordings)
    job = extract.Job(
        path=path / "log_mel.npy",
        front_end=front_end,
        channels=tuple(channels),
        num_samples=num_samples,
        min_duration_share=min_duration_share,
    )
    names = [recording.name for recording in recordings]
    try:
        # Several runs may want the same features at once: the first extracts, the others wait.
        with exclusive(path, "extracting features", wait=None if stop is None else stop.check):
            rows, log_mel = tables.open_or_create(path, settings, shape)
            bad = {} if on_bad_file == "stop" else tables.read_bad(path)
            bad.update(known_bad or {})
            tables.mark_bad(names, rows, bad, path)
            if damaged := tables.mark_damaged(rows, log_mel, stop):
                tqdm.write(
                    f"{path}: the features of {counted(len(damaged), 'recording')} are damaged, "
                    f"e.g. {names[damaged[0]]}; they are extracted again"
                )
            todo = np.flatnonzero(rows["state"] == MISSING).tolist()
            if todo:
                _extract(job, recordings, todo, rows, bad, on_bad_file, num_workers, stop)
            usable = rows["state"] == DONE
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot keep the feature store there ({error.strerror}); "
            "free some space, or choose another folder for it; what is extracted is kept"
        ) from error
    return FeatureStore(path, front_end, tuple(channels), log_mel, usable, bad)


def _fingerprint(settings: dict, recordings: Sequence[Recording]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for recording in recordings:
        try:
            stat = recording.path.stat()
            file = f"{stat.st_size}\0{stat.st_mtime_ns}"
        except OSError:  # a link to nowhere; reading it says so
            file = "-"
        digest.update(f"{recording.name}\0{file}\n".encode())
    return digest.hexdigest()[:16]


def _extract(
    job: extract.Job,
    recordings: Sequence[Recording],
    todo: list[int],
    rows: np.memmap,
    bad: dict[str, str],
    on_bad_file: str,
    num_workers: int,
    stop: StopRequest | None,
) -> None:
    workers = min(num_workers or os.cpu_count() or 1, len(todo))
    chunk = max(1, min(16, len(todo) // (4 * workers)))
    chunks = [todo[i : i + chunk] for i in range(0, len(todo), chunk)]
    pending: set[Future] = set()
    died = False
    bar = tqdm(total=len(rows), initial=len(rows) - len(todo), unit="rec", desc="log-mel")
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), extract.start_worker, (job,)
    )
    try:
        with bar:
            while chunks or pending:
                if stop is not None:
                    stop.check(f"while extracting features ({bar.n} of {len(rows)} recordings)")
                # Few chunks are under way at a time, so stopping waits for little.
                while chunks and len(pending) < 2 * workers:
                    indices = chunks.pop(0)
                    files = [
                        (row, recordings[row].path, recordings[row].start_s) for row in indices
                    ]
                    with withheld():
                        pending.add(pool.submit(extract.extract, files))
                finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for result in (r for future in finished for r in future.result()):
                    _record(result, recordings, rows, bad, on_bad_file, job.path.parent)
                    bar.update()
    except BrokenProcessPool:
        if stop is not None:
            stop.check("while extracting features")
        died = True
    finally:
        pool.shutdown(cancel_futures=True)
        # What workers still finished is done, whatever ended the job.
        for future in pending:
            if not future.cancelled() and future.exception() is None:
                for result in (r for r in future.result() if r.reason is None):
                    rows[result.row] = (DONE, result.crc32)
        rows.flush()
    if died:
        # One of the recordings under way is to blame: each is read again in a process of its own.
        later = {row for chunk in chunks for row in chunk}
        left = [row for row in todo if rows["state"][row] == MISSING]
        under_way = [row for row in left if row not in later]
        files = [(row, recordings[row].path, recordings[row].start_s) for row in under_way]
        for result in extract.one_by_one(job, files):
            _record(result, recordings, rows, bad, on_bad_file, job.path.parent)
        if later:
            again = [row for row in left if row in later]
            _extract(job, recordings, again, rows, bad, on_bad_file, num_workers, stop)


def _record(
    result: extract.Result,
    recordings: Sequence[Recording],
    rows: np.memmap,
    bad: dict[str, str],
    on_bad_file: str,
    path: Path,
) -> None:
    if result.reason is None:
        rows[result.row] = (DONE, result.crc32)
        return
    if on_bad_file == "stop":
        raise wave.BadRecording(result.reason)
    rows[result.row] = (BAD, 0)
    bad[recordings[result.row].name] = result.reason
    write_json(path / "bad.json", bad)
