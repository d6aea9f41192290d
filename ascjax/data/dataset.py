"""Which recordings a set has, and how one of its folds splits them."""

import dataclasses
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ascjax.data import checks, paths, splits
from ascjax.data.layouts import LAYOUTS, Layout, Request
from ascjax.data.listing import Fold, LeftOut, Recording, composed
from ascjax.errors import UserError, choose, nearest

__all__ = [
    "Catalogue",
    "Dataset",
    "Recording",
    "load",
    "read_catalogue",
    "select",
    "validation_split",
]


@dataclass(frozen=True)
class Catalogue:
    """A set as it lies on disk: every recording, every fold.

    Attributes:
      root: the folder or table given.
      layout: its name in ``LAYOUTS``.
      reason: what tells that layout.
      recordings: in a fixed order.
      folds: by number, as indices of the recordings.
      left_out: files that are not read.
      notes: lines worth telling the user.
    """

    root: Path
    layout: str
    reason: str
    recordings: tuple[Recording, ...]
    folds: Mapping[int, Fold]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    @property
    def scenes(self) -> list[str]:
        """Every scene, alphabetically."""
        return sorted({recording.scene for recording in self.recordings})


@dataclass(frozen=True)
class Dataset:
    """The recordings of one fold of a set, and how they are split.

    Attributes:
      root: the folder or table given.
      layout: its name in ``LAYOUTS``.
      reason: what tells that layout.
      scenes: every scene, in the order of the posteriors.
      recordings: those of both parts, in a fixed order.
      train: indices of the training part.
      test: indices of the test part.
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
    folds: tuple[int, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def load(
    root: str | Path,
    *,
    layout: str = "auto",
    fold: int = 1,
    scenes: Sequence[str] = (),
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
      split: a named training subset that the set publishes, e.g. ``split5``; empty for the whole.
      columns: a table's column by role, e.g. ``{"path": "filename", "scene": "label"}``.
      stay_inside: refuse files outside the set's folder instead of noting them.

    Raises:
      UserError: there is no such set, or a mistake in it; the message says where and what.
    """
    catalogue = read_catalogue(
        root, layout=layout, split=split, columns=columns, stay_inside=stay_inside
    )
    return select(catalogue, fold, scenes)


def read_catalogue(
    root: str | Path,
    *,
    layout: str = "auto",
    split: str = "",
    columns: Mapping[str, str] | None = None,
    stay_inside: bool = False,
) -> Catalogue:
    """Lists all recordings and folds of a set; arguments and errors as in ``load``."""
    root = Path(root)
    is_folder = _is_folder(root)
    choose("layout", layout, {"auto": None, **LAYOUTS})
    try:
        name, reason = layout, "as asked"
        if layout == "auto":
            name, reason = ("csv", "columns are given") if columns else _detect(root, is_folder)
        chosen = LAYOUTS[name]
        if not (is_folder or chosen.table):
            raise UserError(f"{root}: expected a folder for the layout {name}, got a file")
        _check_request(root, name, chosen, split, columns or {})
        listing = chosen.read(root, Request(split, columns or {}))
    except OSError as error:
        raise UserError(f"{error.filename or root}: can't be read ({error.strerror})") from error
    folders = paths.Folders()
    recordings, notes = _composed(paths.locate(listing.recordings, root, folders))
    left_out = [*listing.left_out, *paths.unlisted(recordings, folders)]
    notes += _outside(recordings, root if is_folder else root.parent, folders, stay_inside)
    catalogue = Catalogue(
        root, name, reason, tuple(recordings), listing.folds, tuple(left_out),
        (*listing.notes, *notes),
    )  # fmt: skip
    checks.check_scenes(root, recordings)
    doubts = checks.doubtful_scenes(catalogue.scenes)
    return dataclasses.replace(catalogue, notes=(*catalogue.notes, *doubts))


def select(catalogue: Catalogue, fold: int = 1, scenes: Sequence[str] = ()) -> Dataset:
    """Returns the recordings of one fold, with the scene list in order.

    Raises:
      UserError: there is no such fold, or a part or the scene list lacks something.
    """
    if fold not in catalogue.folds:
        listed = ", ".join(map(str, catalogue.folds)) or "none"
        raise UserError(f"fold: expected one of {listed} (those of {catalogue.root}), got {fold}")
    parts = catalogue.folds[fold]
    used = sorted({*parts.train, *parts.test})
    place = {old: new for new, old in enumerate(used)}
    left_out = list(catalogue.left_out)
    if len(used) < len(catalogue.recordings):
        idle = sorted(set(range(len(catalogue.recordings))) - set(used))
        example = catalogue.recordings[idle[0]].name
        left_out.append(LeftOut(f"recordings in no part of fold {fold}", len(idle), example))
    dataset = Dataset(
        catalogue.root,
        catalogue.layout,
        catalogue.reason,
        tuple(map(composed, scenes)) or tuple(catalogue.scenes),
        tuple(catalogue.recordings[index] for index in used),
        tuple(place[index] for index in parts.train),
        tuple(place[index] for index in parts.test),
        tuple(catalogue.folds),
        tuple(left_out),
        (*catalogue.notes, *(str(kind) for kind in left_out if not kind.harmless)),
    )
    _check_parts(dataset, fold)
    return dataset


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


def _is_folder(root: Path) -> bool:
    """Returns whether a set is a folder, not a table; raises if it is neither."""
    try:
        mode = os.stat(root).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{root}: expected a data set's folder or a table of recordings ({reason})"
        ) from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise UserError(f"{root}: expected a folder or a table of recordings, got a device or pipe")
    return stat.S_ISDIR(mode)


def _detect(root: Path, is_folder: bool) -> tuple[str, str]:
    """Returns the name of the first layout that fits, and why it does."""
    if not is_folder:
        return "csv", "a file was given"
    if not any(root.iterdir()):
        raise UserError(f"{root}: the folder is empty; expected a data set")
    published = [name for name in LAYOUTS if name not in ("csv", "folders")]
    for name, layout in LAYOUTS.items():
        reason = layout.detect(root)
        if name == "folders":
            inner = sorted(path for path in root.iterdir() if path.is_dir())
            for folder in inner:
                if any(LAYOUTS[name].detect(folder) for name in published):
                    raise UserError(f"{root}: the data set seems to be in {folder}; pass that")
        if reason:
            break
    return name, reason


def _check_request(
    root: Path, name: str, layout: Layout, split: str, columns: Mapping[str, str]
) -> None:
    if columns and not layout.table:
        raise UserError(f"{root}: columns are read from a table, and its layout is {name}")
    if split:
        available = layout.splits(root) if layout.splits else []
        if not available:
            raise UserError(f"split: {root} has no named splits, got {split!r}")
        if split not in available:
            raise UserError(
                f"split: expected one of {', '.join(available)} (those of {root}), got {split!r}"
                f"{nearest(split, available)}"
            )


def _composed(recordings: list[Recording]) -> tuple[list[Recording], list[str]]:
    """Returns recordings whose scenes are in Unicode form NFC, and notes on those that weren't."""
    forms = defaultdict(set)
    for recording in recordings:
        forms[composed(recording.scene)].add(recording.scene)
    notes = [
        f"scene {scene!r} is written in {len(written)} Unicode forms, which are taken as one"
        for scene, written in sorted(forms.items())
        if len(written) > 1
    ]
    return [
        r if r.scene == composed(r.scene) else dataclasses.replace(r, scene=composed(r.scene))
        for r in recordings
    ], notes


def _outside(
    recordings: Sequence[Recording], root: Path, folders: paths.Folders, stay_inside: bool
) -> list[str]:
    """Returns a note on files outside the set's folder, or raises if they are refused."""
    strangers = paths.outside(recordings, root, folders)
    if not strangers:
        return []
    count = f"{len(strangers):,} of {len(recordings):,} files lie outside {root}"
    note = f"{count}, e.g. {strangers[0].name} ({os.path.realpath(strangers[0].path)})"
    if stay_inside:
        raise UserError(f"{note}; expected every file inside the set's folder")
    return [note]


def _check_parts(dataset: Dataset, fold: int) -> None:
    """Raises if a label is in no scene list, or a scene in no training recording."""
    if len(set(dataset.scenes)) < len(dataset.scenes):
        raise UserError(f"scenes: expected each scene once, got {dataset.scenes}")
    unlisted = Counter(recording.scene for recording in dataset.recordings)
    for scene in dataset.scenes:
        del unlisted[scene]
    if unlisted:
        scene, count = unlisted.most_common(1)[0]
        example = next(r.name for r in dataset.recordings if r.scene == scene)
        raise UserError(
            f"{dataset.root}: {count:,} recordings are labelled {scene!r}, which is not in the "
            f"list of scenes {dataset.scenes}; the first is {example!r}"
        )
    lacking = _absent(dataset, dataset.train)
    if lacking:
        raise UserError(
            f"{dataset.root}: no training recording of {', '.join(lacking)} in fold {fold}; add "
            "some, or leave the scene out"
        )
    if not dataset.test:
        raise UserError(f"{dataset.root}: fold {fold} has no test recording")


def _absent(dataset: Dataset, indices: Iterable[int]) -> list[str]:
    """Returns the scenes that none of these recordings has."""
    present = {dataset.recordings[index].scene for index in indices}
    return [scene for scene in dataset.scenes if scene not in present]
