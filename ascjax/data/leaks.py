"""Leaks between training and test part, contradictory labels, and other copies."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ascjax.data.duplicates import Copies
from ascjax.data.listing import Fold, Recording, quoted
from ascjax.words import counted

Gravity = Literal["leak", "contradiction", "copy"]
ON_LEAK = ("warn", "stop")

_KINDS = {
    "file": "the same file under several names",
    "bytes": "files with the same bytes",
    "samples": "files with the same samples",
    "excerpt": "excerpts of the same sound",
}
_WHERE = {
    "leak": "in the training and the test part of ",
    "contradiction": "under several labels",
    "copy": "with one label, in one part of every fold",
}


@dataclass(frozen=True)
class Finding:
    """A leak, contradiction or copy, with how many there are of it.

    Attributes:
      kind: ``leak`` (in the training and the test part), ``contradiction`` (under several labels)
        or ``copy`` (one label, in one part of every fold).
      what: what is concerned, in a few words.
      count: groups of recordings that are the same, or locations.
      num_recordings: in all of these groups.
      example: the names of two recordings of one group that show it.
      sides: what these two are: training and test recording, or their labels.
      folds: the folds concerned, for a leak.
    """

    kind: Gravity
    what: str
    count: int
    num_recordings: int
    example: tuple[str, str]
    sides: tuple[str, str]
    folds: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = _WHERE[self.kind]
        if self.kind == "leak":
            where += _listed(self.folds)
        groups = counted(self.count, "group")
        first, second = (
            f"{quoted(name)} ({side})" for name, side in zip(self.example, self.sides, strict=True)
        )
        return (
            f"{self.kind}: {self.what} {where} ({groups}, {self.num_recordings:,} recordings), "
            f"e.g. {first} and {second}"
        )


Group = tuple[int, ...]
Sides = Mapping[int, tuple[frozenset[int], frozenset[int]]]


def find(
    recordings: Sequence[Recording], folds: Mapping[int, Fold], copies: Iterable[Copies] = ()
) -> list[Finding]:
    """Returns leaks, contradictions and mere copies, the gravest first.

    Args:
      recordings: of the set.
      folds: each fold's parts, as indices of them.
      copies: recordings that are the same.
    """
    sides = {fold: (frozenset(parts.train), frozenset(parts.test)) for fold, parts in folds.items()}
    members = defaultdict(list)
    for index, recording in enumerate(recordings):
        if recording.location:
            members[recording.location].append(index)
    places = [tuple(group) for group in members.values()]
    findings = _leaks("recordings of the same location", places, recordings, sides)
    copies = list(copies)
    for kind, what in _KINDS.items():
        groups = [each.members for each in copies if each.kind == kind]
        labels = {group: {recordings[i].scene for i in group} for group in groups}
        mixed = [group for group in groups if len(labels[group]) > 1]
        rest = [g for g in groups if len(labels[g]) == 1 and not _torn(g, sides)]
        findings += _leaks(what, groups, recordings, sides)
        findings += _finding("contradiction", what, mixed, recordings)
        findings += _finding("copy", what, rest, recordings)
    order = list(_WHERE)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def _leaks(
    what: str, groups: Sequence[Group], recordings: Sequence[Recording], sides: Sides
) -> list[Finding]:
    """Returns the finding of groups that have members in both parts of a fold, if there are any."""
    torn = {group: folds for group in groups if (folds := _torn(group, sides))}
    if not torn:
        return []
    group, (fold, *_) = next(iter(torn.items()))
    pair = [next(i for i in group if i in side) for side in sides[fold]]
    concerned = tuple(sorted({fold for folds in torn.values() for fold in folds}))
    example = recordings[pair[0]].name, recordings[pair[1]].name
    sides_of = "training", "test"
    return [Finding("leak", what, len(torn), sum(map(len, torn)), example, sides_of, concerned)]


def _finding(
    kind: Gravity, what: str, groups: Sequence[Group], recordings: Sequence[Recording]
) -> list[Finding]:
    """Returns the finding of groups under several labels, or of mere copies, if there are any."""
    if not groups:
        return []
    first, *others = (recordings[i] for i in groups[0])
    second = next((other for other in others if other.scene != first.scene), others[0])
    example, labels = (first.name, second.name), (first.scene, second.scene)
    return [Finding(kind, what, len(groups), sum(map(len, groups)), example, labels)]


def _torn(group: Group, sides: Sides) -> list[int]:
    """Returns the folds in which a group has members in both parts."""
    return [
        fold
        for fold, (train, test) in sides.items()
        if any(i in train for i in group) and any(i in test for i in group)
    ]


def _listed(folds: Sequence[int]) -> str:
    *others, last = map(str, folds)
    return f"folds {', '.join(others)} and {last}" if others else f"fold {last}"
