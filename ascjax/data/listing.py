"""Recordings, folds and left-out files of a set, as every layout's reader returns them."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ascjax.data import splits
from ascjax.errors import UserError


@dataclass(frozen=True)
class Recording:
    """One audio file with one scene label.

    Attributes:
      name: its path as the data set writes it, unique in the set.
      path: where the file is.
      scene: its label.
      location: where it was made, e.g. ``barcelona-203``; empty if unknown.
      city: empty if unknown.
      device: what it was made with, e.g. ``s1``; empty if unknown.
      whole: name of the recording that this is a window of; empty for a whole recording.
      start_s: where it starts in the file.
    """

    name: str
    path: Path
    scene: str
    location: str = ""
    city: str = ""
    device: str = ""
    whole: str = ""
    start_s: float = 0.0


@dataclass(frozen=True)
class LeftOut:
    """Files of one kind that are not read.

    Attributes:
      reason: why, in a few words, e.g. ``.m4a files``.
      count: how many.
      example: the first of them, relative to the set's folder.
      harmless: of a kind that sets carry along, such as a README: not worth a line each time.
    """

    reason: str
    count: int
    example: str
    harmless: bool = False

    def __str__(self) -> str:
        return f"left out: {self.reason} ({self.count:,}), e.g. {quoted(self.example)}"


@dataclass(frozen=True)
class Fold:
    """Indices of a fold's training and test recordings, each ascending."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Listing:
    """All recordings of a set and the parts of each of its folds.

    Attributes:
      recordings: in a fixed order, each name once.
      folds: by the fold's number.
      left_out: what is not read.
      notes: lines worth telling the user.
      unread: files that the set's list names and ``left_out`` has already.
    """

    recordings: list[Recording]
    folds: dict[int, Fold]
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)


class Tally:
    """Counts what is left out by reason, keeping the first example of each."""

    def __init__(self) -> None:
        self._kinds: dict[str, LeftOut] = {}

    def add(self, reason: str, example: str, *, harmless: bool = False) -> None:
        """Counts one more file that is left out for this reason."""
        before = self._kinds.get(reason, LeftOut(reason, 0, example, harmless))
        self._kinds[reason] = replace(before, count=before.count + 1)

    def left_out(self) -> list[LeftOut]:
        """Returns what was counted, in the order of first appearance."""
        return list(self._kinds.values())


def numbered(numbers: Sequence[int]) -> dict[int, Fold]:
    """Returns k folds from the number of each recording: fold n tests on the recordings of n."""
    return {
        fold: Fold(
            tuple(index for index, number in enumerate(numbers) if number != fold),
            tuple(index for index, number in enumerate(numbers) if number == fold),
        )
        for fold in sorted(set(numbers))
    }


def assign_folds(
    recordings: Sequence[Recording], num_folds: int = 5
) -> tuple[dict[int, Fold], str]:
    """Assigns recordings without folds to folds, balanced by scene, each location in one fold.

    Returns:
      The folds, and a line that says how they were made.
    """
    located = any(recording.location for recording in recordings)
    numbers = splits.assign(
        [recording.scene for recording in recordings],
        splits.groups([recording.location for recording in recordings]),
        num_folds=num_folds,
    )
    note = (
        f"no folds are given: split into {len(set(numbers))}, balanced by scene"
        f"{', disjoint in location' * located}; a CSV path,scene,fold"
        + ("" if located else ",location")
        + " gives your own"
        + ("" if located else " and keeps each place in one part")
    )
    return numbered([number + 1 for number in numbers]), note


def composed(text: str) -> str:
    """Returns text in Unicode form NFC, in which equal words have equal characters."""
    return unicodedata.normalize("NFC", text)


def printable(name: str) -> str:
    r"""Returns a file name that can be written as UTF-8; bytes that are none become ``\xe9``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def quoted(name: str) -> str:
    """Returns a name in quotes if it has blanks, so that one sees where it ends."""
    return f"'{name}'" if " " in name else name


def relative(path: Path, root: Path) -> str:
    """Returns a path below ``root`` as the set would write it, printable."""
    return printable(path.relative_to(root).as_posix())


def no_layout(root: Path, needs: str) -> UserError:
    """Returns the error of a layout that lacks a file it cannot do without."""
    return UserError(f"{root}: found no {needs}; is this the set's own folder?")
