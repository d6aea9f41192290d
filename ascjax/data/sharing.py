"""Extraction shared out among the processes of a training that see the same folder."""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from ascjax.audio import wave
from ascjax.compute import processes
from ascjax.data.extract import Result
from ascjax.data.rows import BAD, DONE, MISSING
from ascjax.files import unwritable, write_json


class Sharing:
    """The processes that see one folder, each of which extracts a share of what it lacks.

    The first of them leads: it alone writes the row table, into which the others have no safe way
    over a network's file system. Processes with folders of their own lead themselves. All processes
    of a training make the same calls.

    Args:
      folder: of the store; made if need be.
    """

    def __init__(self, folder: Path):
        self._members = _who_sees(folder) if processes.count() > 1 else [0]
        self._leader = self._members[0]
        self.leads = processes.index() == self._leader

    def mine(self, rows: list[int]) -> list[int]:
        """Returns this process's share of what is to be extracted, rows that follow one another."""
        part, parts = self._members.index(processes.index()), len(self._members)
        return rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]

    def give(self, result: Result) -> None:
        """Hands the leader what became of a recording."""
        processes.post(f"rows/{self._leader}", astuple(result))

    def given(self) -> Iterator[Result]:
        """Yields what the others have handed to this leader since."""
        if self.leads and len(self._members) > 1:
            yield from (Result(*fields) for fields in processes.posted(f"rows/{self._leader}"))


@dataclass(frozen=True)
class Table:
    """What is known of each recording, on disk where this process leads."""

    path: Path
    names: Sequence[str]
    rows: np.ndarray
    bad: dict[str, str]
    on_bad_file: str
    sharing: Sharing

    def missing(self) -> list[int]:
        """Returns the rows that are still to be extracted."""
        return np.flatnonzero(self.rows["state"] == MISSING).tolist()

    def record(self, result: Result) -> None:
        """Notes what became of a recording; raises BadRecording if it may not be left out."""
        if result.reason is not None and self.on_bad_file == "stop":
            raise wave.BadRecording(result.reason)
        self.rows[result.row] = (DONE if result.reason is None else BAD, result.crc32)
        if not self.sharing.leads:
            self.sharing.give(result)
        elif result.reason is not None:
            self.bad[self.names[result.row]] = result.reason
            write_json(self.path / "bad.json", self.bad)

    def flush(self) -> None:
        """Puts what is known on disk, where this process leads."""
        if isinstance(self.rows, np.memmap):
            self.rows.flush()

    def take(self) -> None:
        """Notes what other processes have done since."""
        for result in self.sharing.given():
            self.record(result)


def _who_sees(folder: Path) -> list[int]:
    """Returns the processes that see this folder, found by a file that each makes there."""
    name = processes.from_first(secrets.token_hex(8))
    own = folder / f".{name}-{processes.index()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own.touch()
    except OSError as error:
        raise unwritable(own, error) from None
    processes.gather(None)  # all are there
    seen = [i for i in range(processes.count()) if (folder / f".{name}-{i}").exists()]
    processes.gather(None)  # all have looked
    with contextlib.suppress(OSError):
        own.unlink()
    return seen
