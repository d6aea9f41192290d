"""The recordings of one fold of a set, its training and test part, and a validation split."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ascjax.data import splits
from ascjax.data.catalogue import Catalogue, read_catalogue
from ascjax.data.layouts import LAYOUTS
from ascjax.data.listing import Fold, LeftOut, Recording, composed
from ascjax.errors import UserError, nearest

__all__ = ["LAYOUTS", "Dataset", "Recording", "load", "select", "validation_split"]


@dataclass(frozen=True)
class Dataset:
    """The recordings of one fold of a set, and how they are split.

    Attributes:
      root: the folder or table given.
      layout: its name in ``LAYOUTS``.
      reason: the evidence for that layout.
      scenes: every scene, in the order of the posteriors.
      recordings: those of both parts, in a fixed order.
      train: indices of the training part.
      test: indices of the test part.
      unknown: indices of the recordings of none of the scenes in both parts; they are in neither
        ``train`` nor ``test``.
      folds: the numbers of the folds there are.
      left_out: files that are not read, and recordings in no part of the fold.
      notes: lines worth telling the user.
    """

    root: Path
    layout: str
    reason: str
    scenes: tuple[str, ...]
    recordings: tuple[Recording, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    unknown: Fold
    folds: tuple[int, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def load(
    root: str | Path,
    *,
    layout: str = "auto",
    fold: int = 1,
    scenes: Sequence[str] = (),
    devices: Sequence[str] = (),
    unknown: str = "",
    split: str = "",
    columns: Mapping[str, str] | None = None,
    stay_inside: bool = False,
) -> Dataset:
    """Lists the recordings of a data set and splits them by a fold.

    Args:
      root: a data set's folder, or a table of recordings.
      layout: a name in ``LAYOUTS``, or ``auto``, which detects it.
      fold: whose test part is the test part.
      scenes: the scene list in order; empty for the set's own, alphabetically.
      devices: whose recordings are in the training part; empty for all.
      unknown: label of recordings of none of the scenes; empty: every label is a scene.
      split: a named training subset that the set publishes, e.g. ``split5``; empty for the whole.
      columns: a table's column by role, e.g. ``{"path": "filename", "scene": "label"}``.
      stay_inside: refuse files outside the set's folder instead of noting them.

    Raises:
      UserError: there is no such set, or a mistake in it; the message says where and what.
    """
    catalogue = read_catalogue(
        root, layout=layout, split=split, columns=columns, stay_inside=stay_inside
    )
    return select(catalogue, fold, scenes, devices, unknown)


def select(
    catalogue: Catalogue,
    fold: int = 1,
    scenes: Sequence[str] = (),
    devices: Sequence[str] = (),
    unknown: str = "",
) -> Dataset:
    """Returns the recordings of one fold, with the scene list in order.

    Raises:
      UserError: there is no such fold, device or label, or a part or the scene list lacks
        something.
    """
    unknown = composed(unknown)
    if len(scenes) == 1:
        raise UserError(f"scenes: expected two or more, got {scenes[0]!r} alone")
    used = used_by(catalogue, fold, devices, scenes, unknown)
    named, of_none = _apart(used, used.folds[fold], unknown)
    dataset = Dataset(
        used.root,
        used.layout,
        used.reason,
        tuple(map(composed, scenes)) or tuple(s for s in catalogue.scenes if s != unknown),
        used.recordings,
        named.train,
        named.test,
        of_none,
        tuple(used.folds),
        used.left_out,
        (*used.notes, *(str(kind) for kind in used.left_out if not kind.harmless)),
    )
    _check_parts(dataset, fold)
    return dataset


def used_by(
    catalogue: Catalogue,
    fold: int,
    devices: Sequence[str] = (),
    scenes: Sequence[str] = (),
    unknown: str = "",
) -> Catalogue:
    """Returns what a fold uses of a catalogue; the rest is among what is left out.

    Raises:
      UserError: there is no such fold or device.
    """
    if fold not in catalogue.folds:
        listed = ", ".join(map(str, catalogue.folds)) or "none"
        raise UserError(f"fold: expected one of {listed} (those of {catalogue.root}), got {fold}")
    whole = catalogue.folds[fold]
    parts = _of_devices(catalogue, whole, devices)
    labels = {*map(composed, scenes), composed(unknown)} if scenes else set(catalogue.scenes)
    labelled = {i for i, each in enumerate(catalogue.recordings) if each.scene in labels}
    parts = Fold(*(tuple(i for i in part if i in labelled) for part in (parts.train, parts.test)))
    strange = {*whole.train, *whole.test} - labelled
    used = sorted({*parts.train, *parts.test})
    place = {old: new for new, old in enumerate(used)}
    left_out = list(catalogue.left_out)
    others = set(whole.train) - set(used) - strange
    idle = set(range(len(catalogue.recordings))) - others - strange - set(used)
    for reason, indices in (
        (f"training recordings not of the devices {', '.join(devices)}", others),
        (f"recordings in no part of fold {fold}", idle),
        ("recordings of other scenes than those asked for", strange),
    ):
        if indices:
            example = catalogue.recordings[min(indices)].name
            left_out.append(LeftOut(reason, len(indices), example))

    def placed(part: Sequence[int]) -> tuple[int, ...]:
        return tuple(place[index] for index in part if index in place)

    folds = {k: Fold(placed(each.train), placed(each.test)) for k, each in catalogue.folds.items()}
    folds[fold] = Fold(placed(parts.train), placed(parts.test))
    return replace(
        catalogue,
        recordings=tuple(catalogue.recordings[index] for index in used),
        folds=folds,
        left_out=tuple(left_out),
    )


def _apart(catalogue: Catalogue, fold: Fold, unknown: str) -> tuple[Fold, Fold]:
    """Returns the parts' recordings of the scenes, and those of the label ``unknown``."""
    if not unknown:
        return fold, Fold((), ())

    def of(part: Sequence[int], *, named: bool) -> tuple[int, ...]:
        return tuple(i for i in part if (catalogue.recordings[i].scene != unknown) is named)

    others = Fold(of(fold.train, named=False), of(fold.test, named=False))
    for name, part in (("training", others.train), ("test", others.test)):
        if not part:
            raise UserError(
                f"unknown: no {name} recording of {catalogue.root} is labelled {unknown!r}"
                f"{nearest(unknown, catalogue.scenes)}"
            )
    return Fold(of(fold.train, named=True), of(fold.test, named=True)), others


def _of_devices(catalogue: Catalogue, fold: Fold, devices: Sequence[str]) -> Fold:
    """Returns a fold whose training part is restricted to some devices; all for an empty list.

    Raises:
      UserError: a device that the training part doesn't have.
    """
    if not devices:
        return fold
    found = Counter(catalogue.recordings[index].device for index in fold.train)
    for device in devices:
        if device not in found:
            named = ", ".join(sorted(filter(None, found))) or "none is known"
            raise UserError(
                f"devices: no training recording of {catalogue.root} was made with {device!r}; "
                f"expected some of its devices ({named})"
            )
    train = [i for i in fold.train if catalogue.recordings[i].device in set(devices)]
    return Fold(tuple(train), fold.test)


def validation_split(
    dataset: Dataset, fraction: float = 0.3, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Holds out a share of the training part that has no location in common with the rest.

    Sides are balanced by scene and city as well as locations allow. A recording of unknown location
    counts as a location of its own.

    Args:
      dataset: whose training part is split.
      fraction: share held out, above 0 and below 1.
      seed: chooses among splits that are equally balanced.

    Returns:
      Indices of the recordings to train on and of those held out, each ascending; every scene is in
      both.

    Raises:
      UserError: the fraction is out of range, or a scene has one location only.
    """
    if not 0 < fraction < 1:
        raise UserError(f"validation fraction: expected above 0 and below 1, got {fraction}")
    part = [dataset.recordings[index] for index in dataset.train]
    held = splits.hold_out(
        [recording.scene for recording in part],
        [recording.city for recording in part],
        splits.groups([recording.location for recording in part]),
        fraction=fraction,
        seed=seed,
    )
    sides = tuple(
        [index for index, h in zip(dataset.train, held, strict=True) if h is side]
        for side in (False, True)
    )
    for side in sides:
        lacking = _absent(dataset, side)
        if lacking:
            raise UserError(
                f"{dataset.root}: scene {lacking[0]!r} has too few locations for a validation "
                "split with none in common; add recordings from another location, or use the "
                "protocol 'paper', which needs none"
            )
    return sides[0], sides[1]


def _check_parts(dataset: Dataset, fold: int) -> None:
    """Raises if a scene is listed twice or in no training recording, or there is no test part."""
    if len(set(dataset.scenes)) < len(dataset.scenes):
        raise UserError(f"scenes: expected each scene once, got {dataset.scenes}")
    lacking = _absent(dataset, dataset.train)
    if lacking:
        places = {r.location for r in dataset.recordings if r.scene == lacking[0]} - {""}
        one = (
            f" ({lacking[0]} has one location, which is in the test part)"
            if len(places) == 1
            else ""
        )
        raise UserError(
            f"{dataset.root}: no training recording of {', '.join(lacking)} in fold {fold}{one}; "
            "add some, or name the other scenes with data.scenes"
        )
    if not dataset.test:
        raise UserError(f"{dataset.root}: fold {fold} has no test recording")


def _absent(dataset: Dataset, indices: Iterable[int]) -> list[str]:
    """Returns the scenes that none of these recordings has."""
    present = {dataset.recordings[index].scene for index in indices}
    return [scene for scene in dataset.scenes if scene not in present]
