"""Copies within a set, found by listening to its recordings once."""

import contextlib
import hashlib
import itertools
import os
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ascjax import records
from ascjax.audio import isolated, wave
from ascjax.audio.windows import windows
from ascjax.data import duplicates, fingerprint
from ascjax.data.duplicates import Copies
from ascjax.data.inspection import Inspection, inspect
from ascjax.data.listing import Recording
from ascjax.errors import UserError
from ascjax.files import exclusive
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

    indices = list(infos)
    rates = {recordings[index].path: infos[index].sample_rate_hz for index in indices}
    read = partial(_inspect, rates=rates, most_blocks=most_blocks)
    inspections: dict[int, Inspection] = {}
    unreadable: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        streams = _streams(read, [recordings[index].path for index in indices], stack)
        # Decoding and NumPy leave the interpreter's lock, and so does waiting for a process.
        pool = stack.enter_context(ThreadPoolExecutor(len(streams)))
        bar = stack.enter_context(tqdm(desc="listen", total=len(indices), unit="rec", disable=None))
        for start in range(0, len(indices), len(streams)):
            if stop is not None:
                stop.check("while looking for copies")
            some = indices[start : start + len(streams)]
            for index, result in zip(some, pool.map(next, streams), strict=False):
                bar.update()
                if isinstance(result, wave.BadRecording):
                    unreadable[recordings[index].name] = str(result)
                else:
                    inspections[index] = result
    return inspections, unreadable


def _streams(
    read: Callable[[Path], Inspection], paths: Sequence[Path], stack: contextlib.ExitStack
) -> list[Generator[Inspection | wave.BadRecording, None, None]]:
    """Returns iterators over every n-th file each, in processes of their own where that pays."""
    cores, processes = isolated.num_cores(), len(paths) // isolated.MIN_FILES
    count = min(cores, processes or len(paths)) or 1
    made = [isolated.each(read, paths[first::count]) for first in range(count)]
    for stream in made:
        stack.callback(stream.close)
    return made


def _inspect(path: Path, *, rates: Mapping[Path, int], most_blocks: int | None) -> Inspection:
    rate = rates[path]
    return inspect(itertools.islice(_blocks(path, rate), most_blocks), rate)


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
    """copies.json: what was found in a set, and its CRC-32 (`_crc32`)."""

    copies: tuple[Copies, ...]
    crc32: int
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
    folder = store_dir / f"copies-{_hash(recordings, infos)}"
    path = folder / "copies.json"
    known = _read(path)
    if known is not None:
        return known
    with exclusive(folder, "looking for copies", wait=stop.check):
        known = _read(path)
        if known is not None:
            return known
        inspections, _ = listen(recordings, infos, most_blocks=_FIRST_BLOCKS, stop=stop)
        copies = find(recordings, infos, inspections)
        records.write(path, _Found(tuple(copies), _crc32(copies)))
    return copies


def _read(path: Path) -> list[Copies] | None:
    """Returns what was found before; None if it isn't there or is damaged."""
    try:
        found = records.read(path, _Found, version=_FORMAT, hint="")
    except UserError:
        return None
    return list(found.copies) if found.crc32 == _crc32(found.copies) else None


def _crc32(copies: Sequence[Copies]) -> int:
    return zlib.crc32(repr([(each.kind, each.members) for each in copies]).encode())


def _hash(recordings: Sequence[Recording], infos: Mapping[int, wave.Info]) -> str:
    digest = hashlib.sha256()
    for index in sorted(infos):
        status = os.stat(recordings[index].path)
        digest.update(f"{index}\0{recordings[index].name}\0{status.st_size}\0".encode())
        digest.update(f"{status.st_mtime_ns}\0{status.st_dev}\0{status.st_ino}\n".encode())
    return digest.hexdigest()[:16]
