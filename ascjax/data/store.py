"""The feature store: log-mels of a whole set, extracted once, memory-mapped, resumable, verified.

A store is a folder named by the hash of everything that shapes its values: the front end, the
channels, the length, and each file's name, size and time of change. It holds

    settings.json   what was hashed, for people
    log_mel.npy     float32 [recording, channel, mel, frame]
    rows.npy        for each recording: missing, done or bad, and the CRC-32 of its values
    bad.json        {name: reason} of recordings that could not be read

A row is marked done only after all its values are in the file, so a reader never sees half of one.
Whoever opens the store checks every row against its CRC-32; damaged ones are extracted again.
Processes of one training that see the same folder share the work out (sharing.py).
"""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ascjax.audio import isolated, wave
from ascjax.audio.frontend import FrontEnd
from ascjax.compute import processes
from ascjax.data import extract
from ascjax.data import rows as tables
from ascjax.data.dataset import Recording
from ascjax.data.rows import DONE, MISSING
from ascjax.data.sharing import Sharing, Table
from ascjax.errors import UserError
from ascjax.files import exclusive
from ascjax.signals import StopRequest
from ascjax.words import counted

_FORMAT = 1
# Seconds between two looks at what other processes have done.
_POLL_S = 0.2


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
        sharing = Sharing(path)
        # Several runs may want the same features at once: the first extracts, the others wait.
        wait = None if stop is None else stop.check
        with exclusive(path, "extracting features", wait=wait) if sharing.leads else nullcontext():
            if sharing.leads:
                rows, log_mel = tables.open_or_create(path, settings, shape)
                # All others are tried again: they may be readable by now, with ffmpeg installed.
                bad = dict(known_bad or {})
                tables.mark_bad(names, rows, bad, path)
                if damaged := tables.mark_damaged(rows, log_mel, stop):
                    tqdm.write(
                        f"{path}: the features of {counted(len(damaged), 'recording')} are "
                        f"damaged, e.g. {names[damaged[0]]}; they are extracted again"
                    )
            processes.gather(None)  # the leader has made the files
            if not sharing.leads:
                rows, log_mel = tables.open_or_create(path, settings, shape)
                bad = {}
            known = rows if sharing.leads else np.array(rows)
            table = Table(path, names, known, bad, on_bad_file, sharing)
            _fill(job, recordings, table, log_mel, num_workers, stop)
        rows, log_mel = tables.open_or_create(path, settings, shape)
        bad = tables.read_bad(path)
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot keep the feature store there ({error.strerror}); "
            "free some space, or choose another folder for it; what is extracted is kept"
        ) from error
    usable = rows["state"] == DONE
    return FeatureStore(path, front_end, tuple(channels), log_mel, usable, bad)


def _fill(
    job: extract.Job,
    recordings: Sequence[Recording],
    table: Table,
    log_mel: np.ndarray,
    num_workers: int,
    stop: StopRequest | None,
) -> None:
    """Extracts this process's share of what the store lacks; a leader waits for the others'."""
    todo = table.missing()
    processes.gather(None)  # all know what is to be done
    mine = table.sharing.mine(todo)
    if mine:
        _extract(job, recordings, mine, table, num_workers, stop)
    if table.sharing.leads and len(mine) < len(todo):
        while table.missing():
            table.take()
            if stop is not None:
                stop.check("while extracting features")
            time.sleep(_POLL_S)
        if tables.mark_damaged(table.rows, log_mel, stop):
            raise UserError(
                f"{table.path}: what processes wrote there side by side did not all arrive; start "
                "the same command again, or give each machine a folder of its own"
            )
    table.flush()
    processes.gather(None)  # the leader has all rows


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
    table: Table,
    num_workers: int,
    stop: StopRequest | None,
) -> None:
    rows = table.rows
    workers = min(num_workers or isolated.num_cores(), len(todo))
    chunk = max(1, min(16, len(todo) // (4 * workers)))
    chunks = [todo[i : i + chunk] for i in range(0, len(todo), chunk)]
    pending: set[Future] = set()
    died = False
    done = len(rows) - len(table.missing())
    bar = tqdm(total=len(rows), initial=done, unit="rec", desc="log-mel")
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
                    with extract.starting(job):
                        pending.add(pool.submit(extract.extract, files))
                finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for result in (r for future in finished for r in future.result()):
                    table.record(result)
                table.take()
                bar.update(len(rows) - len(table.missing()) - bar.n)
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
                    table.record(result)
        table.flush()
    if died:
        # One of the recordings under way is to blame: each is read again in a process of its own.
        later = {row for chunk in chunks for row in chunk}
        left = [row for row in todo if rows["state"][row] == MISSING]
        under_way = [row for row in left if row not in later]
        files = [(row, recordings[row].path, recordings[row].start_s) for row in under_way]
        for result in extract.one_by_one(job, files):
            table.record(result)
        if later:
            again = [row for row in left if row in later]
            _extract(job, recordings, again, table, num_workers, stop)
