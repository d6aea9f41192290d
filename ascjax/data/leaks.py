"""What makes a score flatter or a label wrong: a recording or place in two parts, or two labels."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ascjax.data.duplicates import Copies
from ascjax.data.listing import Fold, Recording, quoted

Gravity = Literal["leak", "contradiction", "copy"]

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
    """One kind of trouble in a set.

    Attributes:
      kind: ``leak`` (in the training and the test part), ``contradiction`` (under several labels)
        or ``copy`` (twice in the same part).
      what: what is concerned, in a few words.
      count: how many groups of recordings, or locations.
      example: the names of the recordings of the first.
      folds: the folds concerned, for a leak.
    """

    kind: Gravity
    what: str
    count: int
    example: tuple[str, ...]
    folds: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = _WHERE[self.kind]
        if self.kind == "leak":
            where += _listed(self.folds)
        example = " = ".join(map(quoted, self.example))
        return f"{self.kind} ({self.count:,}): {self.what} {where}, e.g. {example}"


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
    copies = list(copies)
    findings = _locations(recordings, sides)
    order: tuple[Gravity, ...] = ("leak", "contradiction", "copy")
    for kind, what in _KINDS.items():
        groups = [each.members for each in copies if each.kind == kind]
        torn = {group: _torn(group, sides) for group in groups}
        leaks = [group for group in groups if torn[group]]
        labels = [group for group in groups if len({recordings[i].scene for i in group}) > 1]
        rest = [group for group in groups if group not in leaks and group not in labels]
        concerned = tuple(sorted({fold for group in leaks for fold in torn[group]}))
        findings += [
            Finding(named, what, len(some), tuple(recordings[i].name for i in some[0]), where)
            for named, some, where in zip(
                order, (leaks, labels, rest), (concerned, (), ()), strict=True
            )
            if some
        ]
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def _locations(
    recordings: Sequence[Recording], sides: Mapping[int, tuple[frozenset[int], frozenset[int]]]
) -> list[Finding]:
    """Returns the locations that have recordings in both parts of a fold."""
    members = defaultdict(list)
    for index, recording in enumerate(recordings):
        if recording.location:
            members[recording.location].append(index)
    torn = {location: _torn(group, sides) for location, group in members.items()}
    leaking = [location for location in members if torn[location]]
    if not leaking:
        return []
    example = members[leaking[0]]
    train, test = sides[torn[leaking[0]][0]]
    pair = (
        next(recordings[i].name for i in example if i in train),
        next(recordings[i].name for i in example if i in test),
    )
    folds = tuple(sorted({fold for location in leaking for fold in torn[location]}))
    return [Finding("leak", "recordings of the same location", len(leaking), pair, folds)]


def _torn(
    group: Sequence[int], sides: Mapping[int, tuple[frozenset[int], frozenset[int]]]
) -> list[int]:
    """Returns the folds in which a group has members in both parts."""
    return [
        fold
        for fold, (train, test) in sides.items()
        if any(i in train for i in group) and any(i in test for i in group)
    ]


def _listed(folds: Sequence[int]) -> str:
    *others, last = map(str, folds)
    return f"folds {', '.join(others)} and {last}" if others else f"fold {last}"
