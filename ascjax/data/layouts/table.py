"""A table of recordings: ``path,scene`` and, if known, ``fold,location,city,device``."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ascjax.audio.formats import is_audio
from ascjax.data import tables
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import Fold, Listing, Recording, assign_folds, numbered
from ascjax.errors import UserError, nearest

_SUFFIXES = (".csv", ".tsv", ".tab")
_REQUIRED = ("path", "scene")
# Of what `ascjax predict --format=csv` writes, which is no set's list.
_PREDICTED = {"file", "scene", "score", "unknown"}
_FOLD_NUMBER = re.compile(r"(?:fold[ _-]?)?(\d{1,9})(?:\.0)?", re.IGNORECASE)
_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}


def detect(root: Path) -> str:
    """Returns the evidence: a table whose header names files and scenes."""
    found = find(root)
    if not found:
        return ""
    if len(found) > 1:
        return f"there are {', '.join(path.name for path in found)}"
    columns = tables.header(found[0])
    named = {role: columns[place] for role, place in tables.roles(columns, {}, found[0]).items()}
    if not all(role in named for role in _REQUIRED):
        return f"{found[0].name} names files and scenes"
    return f"{found[0].name} has the columns {named['path']} and {named['scene']}"


def find(root: Path) -> list[Path]:
    """Returns the tables of recordings in a folder, known by their headers."""

    def fits(path: Path) -> bool:
        names = set(map(tables.key, tables.header(path)))
        if names >= _PREDICTED:
            return False
        return all(names & set(tables.SYNONYMS[role]) for role in _REQUIRED)

    return sorted(
        path
        for path in root.iterdir()
        if path.name.lower().endswith(_SUFFIXES)
        and not path.name.startswith(".")
        and path.is_file()
        and fits(path)
    )


def read(root: Path, request: Request) -> Listing:
    """Reads a table, or the only one in a folder; paths are relative to the table.

    A numeric ``fold`` makes that fold's recordings the test part; ``train`` and ``test`` fix the
    split; without the column folds are made.
    """
    path = root if root.is_file() else _only(root, request)
    if is_audio(path.name):
        raise UserError(f"{path}: expected a folder or a table of recordings, got an audio file")
    table = tables.read(path)
    return listing(table, request.columns, lambda cells: cells["path"], path.parent, extra=True)


def listing(
    table: tables.Table,
    columns: Mapping[str, str],
    file_name: Callable[[dict[str, str]], str],
    root: Path,
    *,
    extra: bool = False,
) -> Listing:
    """Returns the recordings and folds of a table.

    Args:
      table: its rows.
      columns: the column by role where the header doesn't tell.
      file_name: from a row's cells by role to the file, relative to ``root``.
      root: what files are relative to.
      extra: whether to note columns that are not read.

    Raises:
      UserError: a cell is empty, a file is listed twice, or a fold isn't understood.
    """
    places = tables.roles(table.columns, columns, table.path, _REQUIRED)
    recordings, numbers = _rows(table, places, file_name, root)
    notes = _unread(table, places) if extra else []
    if "fold" not in places:
        folds, note = assign_folds(recordings)
        return Listing(recordings, folds, notes=[*notes, note])
    return Listing(recordings, _folds(table.path, numbers), notes=notes)


def _rows(
    table: tables.Table,
    places: Mapping[str, int],
    file_name: Callable[[dict[str, str]], str],
    root: Path,
) -> tuple[list[Recording], list[tuple[int, str]]]:
    """Returns the recording of each row, and its line number with its fold."""
    recordings: dict[str, Recording] = {}
    numbers = []
    for line, row in table.rows:
        cells = {role: row[index] for role, index in places.items()}
        for role in _REQUIRED:
            if not cells[role]:
                raise UserError(f"{table.path}, line {line}: the column {role} is empty")
        name = file_name(cells)
        if name in recordings:
            raise UserError(f"{table.path}, line {line}: {name!r} is listed twice")
        recordings[name] = Recording(
            name,
            root / name,
            cells["scene"],
            location=cells.get("location", ""),
            city=cells.get("city", ""),
            device=cells.get("device", ""),
        )
        numbers.append((line, cells.get("fold", "")))
    return list(recordings.values()), numbers


def _folds(path: Path, values: list[tuple[int, str]]) -> dict[int, Fold]:
    """Returns the folds that a column's values by line number describe."""
    parts = [_PARTS.get(value.casefold()) for _, value in values]
    if any(parts):
        _check(path, values, parts, "'train' or 'test' in each row, as some have")
        train = tuple(index for index, part in enumerate(parts) if part == "train")
        test = tuple(index for index, part in enumerate(parts) if part == "test")
        return {1: Fold(train, test)}
    matches = [_FOLD_NUMBER.fullmatch(value) for _, value in values]
    _check(path, values, matches, "a fold number in each row, or 'train' or 'test' in each")
    return numbered([int(match[1]) for match in matches if match])


def _check(path: Path, values: list[tuple[int, str]], understood: list, expected: str) -> None:
    """Raises if a value of the fold column isn't understood, naming the first."""
    for (line, value), known in zip(values, understood, strict=True):
        if known is None:
            count = sum(other == value for _, other in values)
            validation = value.casefold() in ("val", "valid", "validation", "dev")
            raise UserError(
                f"{path}, line {line}: fold {value!r} is not understood ({count:,} rows): expected "
                f"{expected}"
                + "; a validation part is held out of 'train' by the protocol 'validated'"
                * validation
            )


def _unread(table: tables.Table, places: Mapping[str, int]) -> list[str]:
    known = list(tables.SYNONYMS)
    rest = [c for index, c in enumerate(table.columns) if c and index not in places.values()]
    return [f"column {name!r} is not read{nearest(name, known)}" for name in rest]


def _only(root: Path, request: Request) -> Path:
    """Returns the one table in a folder that names recordings."""
    files = find(root)
    if not files and request.columns:
        files = sorted(path for path in root.iterdir() if path.name.lower().endswith(_SUFFIXES))
    if len(files) > 1:  # one in our own words comes before others' lists
        own = [path for path in files if set(_REQUIRED) <= set(tables.header(path))]
        files = own if len(own) == 1 else files
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise UserError(
            f"{root}: expected one table with the columns path and scene, found {found}; pass the "
            "table itself"
        )
    return files[0]


LAYOUT = Layout(
    "a table: path,scene and, if known, fold,location,city,device", detect, read, table=True
)
