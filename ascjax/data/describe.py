"""Description of a data set: amounts, the choice of rate and duration, problems."""

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ascjax.audio.wave import Info
from ascjax.data import checks, leaks
from ascjax.data.catalogue import Catalogue
from ascjax.data.choice import Choice, choose_rate_and_duration
from ascjax.data.duplicates import Copies
from ascjax.data.inspection import Inspection, problem
from ascjax.data.leaks import Finding
from ascjax.data.listing import LeftOut, Recording, Tally, printable
from ascjax.data.suggestion import Suggestion, suggest


@dataclass(frozen=True)
class Amount:
    """Recordings with one value of a property: how many, and how long together.

    ``seconds`` leaves out recordings without a readable header.
    """

    value: str | int | float
    recordings: int
    seconds: float


@dataclass(frozen=True)
class Parts:
    """The number of training and test recordings of a fold, and of those in neither part."""

    fold: int
    train: int
    test: int
    neither: int


@dataclass(frozen=True)
class Description:
    """Contents and problems of a set.

    Attributes:
      root: the folder or table.
      layout: its layout; ``reason`` is the evidence for it.
      total: all recordings.
      scenes, locations, cities, devices: amounts by value, alphabetically; locations, cities and
        devices are empty where unknown.
      folds: the size of each fold's parts.
      sample_rates_hz, columns, durations_s: amounts by value, the most common first.
      choice: the rate and duration for training; None if no header can be read.
      left_out: files that are not read.
      unreadable: the reason by name of recordings without a readable header.
      sound_problems: recordings that are silent, clipped or constant; empty unless inspected.
      inspected: whether samples were read.
      findings: leaks, contradictions and copies.
      small_scenes: the number of recordings of scenes with few.
      notes: further lines worth reading.
      suggestion: a config that suits.
      training_s: seconds that training with it would take; None if not estimated.
    """

    root: str
    layout: str
    reason: str
    total: Amount
    scenes: tuple[Amount, ...]
    folds: tuple[Parts, ...]
    locations: tuple[Amount, ...]
    cities: tuple[Amount, ...]
    devices: tuple[Amount, ...]
    sample_rates_hz: tuple[Amount, ...]
    columns: tuple[Amount, ...]
    durations_s: tuple[Amount, ...]
    choice: Choice | None
    left_out: tuple[LeftOut, ...]
    unreadable: Mapping[str, str]
    sound_problems: tuple[LeftOut, ...]
    inspected: bool
    findings: tuple[Finding, ...]
    small_scenes: Mapping[str, int]
    notes: tuple[str, ...]
    suggestion: Suggestion
    training_s: float | None = None

    def to_json(self) -> str:
        """Returns every attribute as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)


def describe(
    catalogue: Catalogue,
    infos: Mapping[int, Info],
    unreadable: Mapping[str, str],
    *,
    copies: Sequence[Copies] = (),
    inspections: Mapping[int, Inspection] | None = None,
    choice: Choice | None = None,
) -> Description:
    """Returns the description of a set from what was read of it.

    Args:
      catalogue: its recordings and folds.
      infos: the header by index of the recording.
      unreadable: the reason by name of recordings without one.
      copies: recordings that are the same.
      inspections: of the samples, by index; None if they were not read.
      choice: of rate and duration, if something of it was asked for; None for the set's own.
    """
    recordings = catalogue.recordings
    length = {index: info.duration_s for index, info in infos.items()}

    def by(value: Callable[[Recording], str]) -> tuple[Amount, ...]:
        found = _amounts(((value(r), i) for i, r in enumerate(recordings) if value(r)), length)
        return tuple(sorted(found, key=lambda amount: str(amount.value)))

    def by_header(value: Callable[[Info], int | float]) -> tuple[Amount, ...]:
        found = _amounts(((value(info), i) for i, info in infos.items()), length)
        return tuple(sorted(found, key=lambda amount: (-amount.recordings, -float(amount.value))))

    if choice is None and infos:
        choice = choose_rate_and_duration(infos.values())
    return Description(
        root=printable(str(catalogue.root)),
        layout=catalogue.layout,
        reason=catalogue.reason,
        total=Amount("all", len(recordings), math.fsum(length.values())),
        scenes=by(lambda r: r.scene),
        folds=tuple(
            Parts(
                fold,
                len(parts.train),
                len(parts.test),
                len(recordings) - len({*parts.train, *parts.test}),
            )
            for fold, parts in catalogue.folds.items()
        ),
        locations=by(lambda r: r.location),
        cities=by(lambda r: r.city),
        devices=by(lambda r: r.device),
        sample_rates_hz=by_header(lambda info: info.sample_rate_hz),
        columns=by_header(lambda info: info.num_columns),
        durations_s=by_header(lambda info: info.duration_s),
        choice=choice,
        left_out=catalogue.left_out,
        unreadable=dict(unreadable),
        sound_problems=_sound_problems(recordings, inspections or {}),
        inspected=inspections is not None,
        findings=tuple(leaks.find(recordings, catalogue.folds, copies)),
        small_scenes=checks.small_scenes(recordings),
        notes=(*catalogue.notes, *_headers(recordings, infos)),
        suggestion=suggest(list(infos.values()), choice),
    )


def _headers(recordings: Sequence[Recording], infos: Mapping[int, Info]) -> list[str]:
    """Returns notes on faulty headers, counted, with an example of each."""
    tally = Tally()
    for index, info in sorted(infos.items()):
        if info.note:
            tally.add(info.note, recordings[index].name)
    return [str(kind).removeprefix("left out: ") for kind in tally.left_out()]


def _amounts(
    values: Iterable[tuple[str | int | float, int]], length: Mapping[int, float]
) -> list[Amount]:
    """Returns the amount of each value from pairs of a value and a recording's index."""
    members = defaultdict(list)
    for value, index in values:
        members[value].append(index)
    return [
        Amount(value, len(indices), math.fsum(length.get(index, 0.0) for index in indices))
        for value, indices in members.items()
    ]


def _sound_problems(
    recordings: Sequence[Recording], inspections: Mapping[int, Inspection]
) -> tuple[LeftOut, ...]:
    """Returns problems of recordings' sound, counted, with an example of each."""
    tally = Tally()
    for index, inspection in sorted(inspections.items()):
        if reason := problem(inspection):
            tally.add(reason, recordings[index].name)
        if inspection.columns_equal:
            tally.add("several columns that are all the same", recordings[index].name)
    return tuple(tally.left_out())
