"""Copies within a set, found by listening to its recordings once."""

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ascjax import records
from ascjax.audio import wave
from ascjax.audio.windows import windows
from ascjax.data import duplicates, fingerprint
from ascjax.data.duplicates import Copies
from ascjax.data.inspection import Inspection, inspect
from ascjax.data.listing import Recording
from ascjax.errors import UserError
from ascjax.signals import StopRequest

_FORMAT = 1
_BLOCK_S = 30
# Before training, copies are looked for in the first minute of each recording.
_FIRST_BLOCKS = 2


def listen(
    recordings: Sequence[Recording],
    infos: Mapping[int, wave.Info],
    *,
    most_blocks: int | None = None,
    stop: StopRequest | None = None,
) -> tuple[dict[int, Inspection], dict[str, str]]:
    """Inspects the samples of the recordings that have a header, in blocks of 30 s.

    Args:
      recordings: of the set.
      infos: the header by index of the recording.
      most_blocks: of each recording, from its start; None for the whole.
      stop: asked between recordings.

    Returns:
      The inspection by index, and the reason by name of those that can't be decoded.

    Raises:
      Stopped: ``stop`` was requested.
    """

    def read_one(index: int) -> Inspection | wave.BadRecording:
        rate = infos[index].sample_rate_hz
        blocks = _blocks(recordings[index].path, rate)
        try:
            return inspect(itertools.islice(blocks, most_blocks), rate)
        except wave.BadRecording as error:
            return error

    inspections: dict[int, Inspection] = {}
    unreadable: dict[str, str] = {}
    pool = ThreadPoolExecutor(os.cpu_count())  # decoding and NumPy leave the interpreter's lock
    try:
        found = tqdm(
            pool.map(read_one, infos), "listen", total=len(infos), unit="rec", disable=None
        )
        for index, result in zip(infos, found, strict=True):
            if stop is not None:
                stop.check("while looking for copies")
            if isinstance(result, wave.BadRecording):
                unreadable[recordings[index].name] = str(result)
            else:
                inspections[index] = result
    finally:
        pool.shutdown(cancel_futures=True)
    return inspections, unreadable


def _blocks(path: Path, sample_rate_hz: int) -> Iterator[np.ndarray]:
    length = _BLOCK_S * sample_rate_hz
    for window in windows(
        path, sample_rate_hz=sample_rate_hz, window_samples=length, hop_samples=length
    ):
        yield window.samples


def find(
    recordings: Sequence[Recording],
    infos: Mapping[int, wave.Info],
    inspections: Mapping[int, Inspection],
) -> list[Copies]:
    """Returns recordings that are one file, or have equal bytes, equal samples or equal excerpts.

    Args:
      recordings: of the set.
      infos: the header by index of the recording; those without one are left out.
      inspections: likewise; empty to look at files and bytes only.
    """
    known = duplicates.find(recordings)
    digests = {
        index: (inspection.digest, infos[index].sample_rate_hz, infos[index].num_samples)
        for index, inspection in inspections.items()
        if inspection.digest
    }
    known += duplicates.same_samples(digests, known)
    marks = {index: inspection.fingerprint for index, inspection in inspections.items()}
    return _joined(known + fingerprint.excerpts(marks, known))


def _joined(found: Sequence[Copies]) -> list[Copies]:
    """Lets those known to be a member's copies join each later group, which holds only that one."""
    joined: list[Copies] = []
    for copies in found:
        members = set(copies.members)
        for earlier in joined:
            if not members.isdisjoint(earlier.members):
                members.update(earlier.members)
        joined.append(Copies(copies.kind, tuple(sorted(members))))
    return joined


@dataclass(frozen=True)
class _Found:
    """copies-*.json: what was found in a set."""

    copies: tuple[Copies, ...]
    format: int = _FORMAT


def find_once(
    recordings: Sequence[Recording],
    infos: Mapping[int, wave.Info],
    store_dir: Path,
    stop: StopRequest,
) -> list[Copies]:
    """Returns what `find` does for the first minute of each recording, heard once for each set.

    The answer is kept in ``store_dir`` under the hash of the files' names, sizes and times of
    change.

    Raises:
      UserError: it can't be kept.
      Stopped: ``stop`` was requested.
    """
    path = store_dir / f"copies-{_hash(recordings, infos)}.json"
    try:
        return list(records.read(path, _Found, version=_FORMAT, hint="").copies)
    except UserError:  # not there, or damaged: found anew
        pass
    inspections, _ = listen(recordings, infos, most_blocks=_FIRST_BLOCKS, stop=stop)
    copies = find(recordings, infos, inspections)
    try:
        store_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{store_dir}: cannot keep the feature store there ({error.strerror}); choose another "
            "folder for it"
        ) from error
    records.write(path, _Found(tuple(copies)))
    return copies


def _hash(recordings: Sequence[Recording], infos: Mapping[int, wave.Info]) -> str:
    digest = hashlib.sha256()
    for index in sorted(infos):
        status = os.stat(recordings[index].path)
        digest.update(f"{index}\0{recordings[index].name}\0{status.st_size}\0".encode())
        digest.update(f"{status.st_mtime_ns}\0{status.st_dev}\0{status.st_ino}\n".encode())
    return digest.hexdigest()[:16]
