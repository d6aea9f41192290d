"""All recordings and folds of a set: layout detection, files on disk, labels."""

import dataclasses
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ascjax.data import checks, paths
from ascjax.data.layouts import LAYOUTS, Layout, Request
from ascjax.data.listing import Fold, LeftOut, Recording, Tally, composed
from ascjax.data.walk import audio_files, subfolders
from ascjax.errors import UserError, choose, nearest

# Layouts that are no published set's.
_OF_NO_SET = {"csv", "parts", "folders"}
# Layouts known by names alone, which a folder may have by chance, such as monday01.wav for 2013's.
_BY_CHANCE = {"dcase2013", "folders"}


@dataclass(frozen=True)
class Catalogue:
    """All recordings and folds of a set.

    Attributes:
      root: the folder or table given.
      layout: its name in ``LAYOUTS``.
      reason: the evidence for that layout.
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
            if columns:  # which may be the only sign of a table
                published = is_folder and _fitting(root, LAYOUTS.keys() - _OF_NO_SET)
                name, reason = published or ("csv", "columns are given")
            else:
                name, reason = _detect(root, is_folder)
        chosen = LAYOUTS[name]
        if not (is_folder or chosen.table):
            raise UserError(f"{root}: expected a folder for the layout {name}, got a file")
        _check_request(root, name, chosen, split, columns or {})
        listing = chosen.read(root, Request(split, columns or {}))
    except OSError as error:
        raise UserError(f"{error.filename or root}: can't be read ({error.strerror})") from error
    folders = paths.Folders()
    recordings, notes = _composed(paths.locate(listing.recordings, root, folders))
    if is_folder and name == "csv":  # a published set may have other audio in other folders
        unlisted = paths.unlisted_below(root, recordings)
    else:
        unlisted = paths.unlisted(recordings, folders, set(listing.unread))
    left_out = [*listing.left_out, *unlisted]
    notes += _outside(recordings, root if is_folder else root.parent, folders, stay_inside)
    of_a_set = LAYOUTS.keys() - _OF_NO_SET - _BY_CHANCE
    if not is_folder and (around := _fitting(root.parent, of_a_set)):
        notes.append(
            f"{root.parent} has the layout {around[0]}; pass that folder for the set's own folds"
        )
    catalogue = Catalogue(
        root, name, reason, tuple(recordings), listing.folds, tuple(left_out),
        (*listing.notes, *notes),
    )  # fmt: skip
    checks.check_scenes(root, recordings)
    doubts = checks.doubtful_scenes(catalogue.scenes)
    return dataclasses.replace(catalogue, notes=(*catalogue.notes, *doubts))


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
    # Any folder has the layout of last resort, whatever else is in the registry.
    if found := _fitting(root, LAYOUTS.keys() - {"folders"}):
        return found
    sure = {name for name in LAYOUTS.keys() - _BY_CHANCE if not LAYOUTS[name].table}
    below = subfolders(root)
    for folders in (below, [inner for folder in below for inner in subfolders(folder)]):
        sets = [folder for folder in folders if _fitting(folder, sure)]
        if len(sets) == 1 and not any(audio_files(sets[0], root, Tally())):
            raise UserError(
                f"{root}: the lists of a data set are in {sets[0]}, and none of its audio; unpack "
                "all of its archives into one folder and pass that"
            )
        if len(sets) == 1:
            raise UserError(f"{root}: the data set seems to be in {sets[0]}; pass that")
        if sets:
            raise UserError(
                f"{root}: {len(sets)} data sets seem to be there, {sets[0]} and {sets[1]} among "
                "them; pass one"
            )
    return "folders", LAYOUTS["folders"].detect(root)


def _fitting(root: Path, names: Collection[str]) -> tuple[str, str] | None:
    """Returns the first of some layouts that fits, and why it does."""
    found = ((name, LAYOUTS[name].detect(root)) for name in LAYOUTS if name in names)
    return next(((name, reason) for name, reason in found if reason), None)


def _check_request(
    root: Path, name: str, layout: Layout, split: str, columns: Mapping[str, str]
) -> None:
    if columns and not layout.table:
        raise UserError(
            f"{root}: columns are read from a table, and its layout is {name}; leave columns out, "
            "or pass the table itself, whose folds are its own"
        )
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
    """Returns recordings with labels in Unicode form NFC, and notes on scenes that weren't."""
    forms = defaultdict(set)
    for recording in recordings:
        forms[composed(recording.scene)].add(recording.scene)
    notes = [
        f"scene {scene!r} is written in {len(written)} Unicode forms, which are taken as one"
        for scene, written in sorted(forms.items())
        if len(written) > 1
    ]
    return [
        dataclasses.replace(
            each,
            scene=composed(each.scene),
            location=composed(each.location),
            city=composed(each.city),
            device=composed(each.device),
        )
        for each in recordings
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
