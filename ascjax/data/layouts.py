"""Dataset layouts: what lies on disk → recordings and the split of one fold."""

import csv
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ascjax.audio.wave import SUFFIXES
from ascjax.data import splits
from ascjax.errors import UserError, nearest


@dataclass(frozen=True)
class Recording:
    """One audio file with one scene label.

    Attributes:
      name: its path as the data set writes it, unique in the set.
      path: where the file is.
      scene: its label.
      location: where it was made, e.g. ``barcelona-203``; empty if unknown.
      city: empty if unknown.
    """

    name: str
    path: Path
    scene: str
    location: str = ""
    city: str = ""


@dataclass(frozen=True)
class Listing:
    """The recordings of one fold, the indices of its two parts, and every fold's number."""

    recordings: list[Recording]
    train: list[int]
    test: list[int]
    folds: tuple[int, ...]
    notes: list[str] = field(default_factory=list)


# --- TUT/TAU Urban Acoustic Scenes -------------------------------------------------------------


def read_tut(root: Path, fold: int) -> Listing:
    """Reads ``meta.csv`` and the files of a fold under ``evaluation_setup``, as published.

    TUT 2018 has ``fold1_train.txt`` without a header, TAU 2019 and 2020 ``fold1_train.csv`` with a
    header. Recordings of ``meta.csv`` that are in neither part are left out.
    """
    meta_path, setup = root / "meta.csv", root / "evaluation_setup"
    for needed in (meta_path, setup):
        if not needed.exists():
            raise UserError(f"{root}: the TUT layout needs {needed.name}, and there is none")
    meta: dict[str, Recording] = {}
    for line, row in _table(meta_path, "\t", required=("filename", "scene_label")):
        name, scene = row["filename"], row["scene_label"]
        if name in meta:
            raise UserError(f"{meta_path}, line {line}: {name!r} is listed twice")
        location = row.get("identifier") or "-".join(name.split("-")[1:3])
        city = location.rpartition("-")[0]
        meta[name] = Recording(name, root / name, scene, location, city)

    fold_files = {path.stem: path for path in setup.glob("fold*_*.*")}
    trains = [re.fullmatch(r"fold(\d+)_train", stem) for stem in fold_files]
    folds = tuple(sorted(int(match[1]) for match in trains if match))
    check_fold(root, fold, folds)
    train_path = fold_files[f"fold{fold}_train"]
    test_path = fold_files.get(f"fold{fold}_evaluate") or fold_files.get(f"fold{fold}_test")
    if test_path is None:
        raise UserError(f"{setup}: fold {fold} needs fold{fold}_evaluate.txt, and there is none")
    train = _tut_part(train_path, meta, meta_path)
    test = _tut_part(test_path, meta, meta_path)
    both = train & test
    if both:
        raise UserError(
            f"{test_path}: {len(both)} recordings are in {train_path.name} too, the first is "
            f"{min(both)!r}; expected disjoint parts"
        )
    recordings = [recording for name, recording in meta.items() if name in train or name in test]
    left_out = len(meta) - len(recordings)
    return Listing(
        recordings,
        [i for i, recording in enumerate(recordings) if recording.name in train],
        [i for i, recording in enumerate(recordings) if recording.name in test],
        folds,
        [f"{left_out:,} recordings of meta.csv are in no part of fold {fold}"] if left_out else [],
    )


def _tut_part(path: Path, meta: dict[str, Recording], meta_path: Path) -> set[str]:
    """Returns the names in a fold file, each checked against ``meta.csv``."""
    names: set[str] = set()
    header = ("filename", "scene_label")
    for line, row in _table(path, "\t", required=("filename",), default_header=header):
        name = row["filename"]
        if name in names:
            raise UserError(f"{path}, line {line}: {name!r} is listed twice")
        if name not in meta:
            raise UserError(f"{path}, line {line}: {name!r} is not in {meta_path}")
        if row.get("scene_label", meta[name].scene) != meta[name].scene:
            raise UserError(
                f"{path}, line {line}: {name!r} is labelled {row['scene_label']!r}, and "
                f"{meta[name].scene!r} in {meta_path}"
            )
        names.add(name)
    return names


# --- A folder for each scene -------------------------------------------------------------------

# The fold; as ESC-10 and ESC-50 have it, then the source recording, take, and in ESC-50 the class.
_FOLD_NAME = re.compile(r"(\d)-((\w+)-[A-Z](-\d+)?\.\w+)?")


def read_folders(root: Path, fold: int) -> Listing:
    """Reads a folder for each scene; names as ESC-10's give fold and location (the source clip).

    Files beside the folders, hidden folders and files that are no audio are left out.
    """
    recordings, silent = [], []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            continue
        files = sorted(name for name in os.listdir(folder) if is_audio(name))
        if not files:
            silent.append(folder.name)
        for name in files:
            recordings.append(Recording(f"{folder.name}/{name}", folder / name, folder.name))
    if not recordings:
        raise UserError(
            f"{root}: expected a folder of audio files ({', '.join(SUFFIXES)}) for each scene, "
            "found none"
        )
    notes = [f"folders without audio files are left out: {', '.join(silent)}"] if silent else []
    matches = [_FOLD_NAME.match(recording.path.name) for recording in recordings]
    numbers = [int(match[1]) for match in matches if match]
    if len(numbers) < len(recordings) or len(set(numbers)) == 1:
        odd = [r.name for r, match in zip(recordings, matches, strict=True) if not match]
        if numbers and odd:
            notes.append(f"{len(odd)} names begin with no fold, e.g. {odd[0]}")
        return _dealt(root, recordings, fold, notes)
    recordings = [
        Recording(r.name, r.path, r.scene, location=match[3] or "")
        for r, match in zip(recordings, matches, strict=True)
        if match
    ]
    return _numbered(root, recordings, numbers, fold, notes)


# --- A CSV -------------------------------------------------------------------------------------

_CSV_COLUMNS = ("path", "scene", "fold", "location", "city")


def read_csv(path: Path, fold: int) -> Listing:
    """Reads a table ``path,scene[,fold,location,city]``, paths relative to it.

    A numeric ``fold`` makes that fold's recordings the test part; ``train`` and ``test`` fix the
    split; without the column folds are dealt.
    """
    table = _table(path, ",", required=("path", "scene"))
    recordings: dict[str, Recording] = {}
    for line, row in table:
        name = row["path"]
        if name in recordings:
            raise UserError(f"{path}, line {line}: {name!r} is listed twice")
        recordings[name] = Recording(
            name, path.parent / name, row["scene"], row.get("location", ""), row.get("city", "")
        )
    listed = list(recordings.values())
    columns = list(table[0][1])
    extra = [column for column in columns if column not in _CSV_COLUMNS]
    notes = [f"column {c!r} is not read{nearest(c, list(_CSV_COLUMNS))}" for c in extra]
    if "fold" not in columns:
        return _dealt(path, listed, fold, notes)
    values = [row["fold"] for _, row in table]
    if set(values) <= {"train", "test"}:
        check_fold(path, fold, (1,))
        train = [i for i, value in enumerate(values) if value == "train"]
        test = [i for i, value in enumerate(values) if value == "test"]
        return Listing(listed, train, test, (1,), notes)
    for line, row in table:
        if not re.fullmatch(r"\d{1,9}", row["fold"]):
            raise UserError(
                f"{path}, line {line}: expected a fold number in each row (or 'train' or 'test' in "
                f"each), got {row['fold']!r}"
            )
    return _numbered(path, listed, [int(value) for value in values], fold, notes)


# --- Shared ------------------------------------------------------------------------------------


def is_audio(name: str) -> bool:
    """Returns whether a file's name ends as an audio file's."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def check_fold(root: Path, fold: int, folds: Sequence[int]) -> None:
    """Raises if a fold is not one of those available."""
    if fold not in folds:
        listed = ", ".join(map(str, folds)) or "none"
        raise UserError(f"config.data.fold: expected one of {listed} (those of {root}), got {fold}")


def _numbered(
    root: Path, recordings: list[Recording], numbers: list[int], fold: int, notes: list[str]
) -> Listing:
    """Makes the recordings of one fold the test part and the others the training part."""
    folds = tuple(sorted(set(numbers)))
    check_fold(root, fold, folds)
    train = [i for i, number in enumerate(numbers) if number != fold]
    test = [i for i, number in enumerate(numbers) if number == fold]
    return Listing(recordings, train, test, folds, notes)


def _dealt(root: Path, recordings: list[Recording], fold: int, notes: list[str]) -> Listing:
    """Deals recordings without folds into five."""
    check_fold(root, fold, range(1, 6))
    located = any(recording.location for recording in recordings)
    note = (
        f"no folds are given: dealt into 5, balanced by scene{', disjoint in location' * located}; "
        "a CSV path,scene,fold"
        + ("" if located else ",location")
        + " gives your own"
        + ("" if located else " and keeps each place in one part")
    )
    numbers = splits.deal(
        [recording.scene for recording in recordings],
        splits.groups([recording.location for recording in recordings]),
        num_folds=5,
    )
    return _numbered(root, recordings, [n + 1 for n in numbers], fold, [*notes, note])


def check_files(recordings: Iterable[Recording], source: Path) -> None:
    """Raises if audio files are missing; lists each folder once, which is faster than asking."""
    listings: dict[Path, set[str]] = {}
    missing = []
    for recording in recordings:
        folder = recording.path.parent
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if folder.is_dir() else set()
        if recording.path.name not in listings[folder]:
            missing.append(recording)
    if missing:
        raise UserError(
            f"{source} names {len(missing):,} files that aren't there, the first is "
            f"{missing[0].path}"
        )


def _table(
    path: Path,
    delimiter: str,
    *,
    required: Sequence[str],
    default_header: Sequence[str] | None = None,
) -> list[tuple[int, dict[str, str]]]:
    """Reads a text table as (line number, value by column); blank lines are left out.

    Without a default header the first line is the header; with one it is if its first cell says so.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: expected a text table in UTF-8 ({error})") from error
    if not rows:
        raise UserError(f"{path}: the table is empty")
    if default_header is None or rows[0][1][0] == default_header[0]:
        header = rows.pop(0)[1]
    else:
        header = list(default_header[: len(rows[0][1])])
    lacking = [column for column in required if column not in header]
    if lacking:
        raise UserError(
            f"{path}, line 1: expected the column{'s' * (len(lacking) > 1)} {', '.join(lacking)} "
            f"with {delimiter!r} between columns, got {delimiter.join(header)!r}"
        )
    if not rows:
        raise UserError(f"{path}: the table has a header and no row")
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(f"{path}, line {line}: expected {len(header)} columns, got {len(row)}")
        for column in required:
            if not row[header.index(column)]:
                raise UserError(f"{path}, line {line}: the column {column} is empty")
    return [(line, dict(zip(header, row, strict=True))) for line, row in rows]
