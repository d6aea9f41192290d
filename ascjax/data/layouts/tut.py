"""TUT and TAU Urban Acoustic Scenes, 2018 to 2025, as published.

2018 has ``fold1_train.txt`` without a header, 2019 to 2023 ``fold1_train.csv`` with one; 2024 and
2025 add ``split5.csv`` … ``split100.csv`` and ``test.csv``.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ascjax.data import tables
from ascjax.data.layouts import official
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import Fold, Listing, Recording, Tally, no_layout
from ascjax.errors import UserError
from ascjax.words import listed

_SPLIT_FOLDERS = ("", official.SETUP, "split_setup")


class Name(NamedTuple):
    """Fields of a file name; ``location`` is the city with the location's number."""

    scene: str
    city: str
    location: str
    device: str


def parse_name(name: str) -> Name | None:
    """Parses ``scene-city-location-segment[-second]-device``; None if it isn't that form.

    >>> parse_name("audio/airport-lisbon-1000-40000-0-a.wav")
    Name(scene='airport', city='lisbon', location='lisbon-1000', device='a')
    """
    fields = Path(name).stem.split("-")
    if len(fields) not in (5, 6) or not all(fields):
        return None
    return Name(fields[0], fields[1], f"{fields[1]}-{fields[2]}", fields[-1])


def detect(root: Path) -> str:
    """Returns the evidence: ``evaluation_setup``, or ``meta.csv`` with its columns."""
    if (root / official.SETUP).is_dir() and not (root / "meta.txt").exists():
        return f"there is {official.SETUP}/"
    if {"filename", "scene_label"} <= set(map(tables.key, tables.header(root / "meta.csv"))):
        return "meta.csv has the columns filename and scene_label"
    return ""


def read(root: Path, request: Request) -> Listing:
    """Reads ``meta.csv`` and the fold files, or the subset ``request.split`` and ``test.csv``."""
    available = splits(root)
    if not available:
        official.check_training(root)
    if not (root / "meta.csv").exists():
        raise no_layout(root, "meta.csv, the list that TUT and TAU sets have")
    meta = _read_meta(root / "meta.csv")
    indices = {name: index for index, name in enumerate(meta)}
    tally = Tally()
    if request.split:
        folds = {1: _read_split(root, request.split, indices, meta)}
    elif (root / official.SETUP).is_dir():
        folds = official.read_folds(root / official.SETUP, indices, meta, tally)
    else:
        folds = {}
    if not folds:
        if available:
            raise UserError(
                f"{root}: no fold files are there; name a split: one of {', '.join(available)}"
            )
        raise no_layout(root, f"fold files in {official.SETUP}: {official.PATTERN}")
    notes = [] if request.split else other_year(list(meta), folds)
    if available and not request.split:
        notes += [f"data.split may name a training part: {', '.join(available)}"]
    return Listing(list(meta.values()), folds, tally.left_out(), notes)


def other_year(names: Sequence[str], folds: Mapping[int, Fold]) -> list[str]:
    """Returns a note if a city or device of the set is in no part of a fold.

    2019's set has all names of 2018's, and 2020's those of both, so that earlier years' lists fit
    them. But they have more cities and devices, and their own lists have each in some part.
    """
    places = [parse_name(name) for name in names]
    for fold, parts in folds.items():
        used = [places[index] for part in (parts.train, parts.test) for index in part]
        for kind, many in (("city", "cities"), ("device", "devices")):
            of_set, of_fold = (
                {getattr(place, kind) for place in each if place} for each in (places, used)
            )
            if lacking := sorted(of_set - of_fold):
                return [
                    f"fold {fold} has no recording of these {many} of meta.csv: "
                    f"{listed(lacking, 3)}; are its lists another year's?"
                ]
    return []


def splits(root: Path) -> list[str]:
    """Returns the names of the training subsets there are, the smallest first."""
    found = {
        path.stem
        for folder in _SPLIT_FOLDERS
        for path in (root / folder).glob("split*.csv")
        if re.fullmatch(r"split\d+", path.stem)
    }
    return sorted(found, key=lambda name: int(name.removeprefix("split")))


def _read_meta(path: Path) -> dict[str, Recording]:
    table = tables.read(path)
    places = tables.roles(table.columns, None, path, ("path", "scene"))
    meta: dict[str, Recording] = {}
    for line, row in table.rows:
        cells = {role: row[place] for role, place in places.items()}
        name = cells["path"]
        for role in ("path", "scene"):
            if not cells[role]:
                raise UserError(f"{path}, line {line}: the column {role} is empty")
        if name in meta:
            raise UserError(f"{path}, line {line}: {name!r} is listed twice")
        location, city, device = _place(name, cells.get("location", ""), cells.get("device", ""))
        meta[name] = Recording(name, path.parent / name, cells["scene"], location, city, device)
    return meta


def _place(name: str, identifier: str, device: str) -> tuple[str, str, str]:
    """Returns location, city and device.

    An identifier that only adds the segment to city and location would let segments of one place
    fall into both parts: city and location are taken from the name then.
    """
    parsed = parse_name(name)
    if parsed and (not identifier or identifier.startswith(f"{parsed.location}-")):
        return parsed.location, parsed.city, device or parsed.device
    if parsed:
        device = device or parsed.device
    return identifier, identifier.rpartition("-")[0], device


def _read_split(
    root: Path, split: str, indices: dict[str, int], meta: dict[str, Recording]
) -> Fold:
    train = _find(root, f"{split}.csv")
    test = _find(root, "test.csv") or _find(root, "fold1_evaluate.csv")
    if not train or not test:
        raise no_layout(root, "test.csv or fold1_evaluate.csv, the test part of all splits")
    return official.read_fold(train, test, indices, meta)


def _find(root: Path, name: str) -> Path | None:
    paths = (root / folder / name for folder in _SPLIT_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


LAYOUT = Layout(
    "TUT/TAU Urban Acoustic Scenes as published: meta.csv, evaluation_setup/, audio/",
    detect,
    read,
    splits,
)
