"""ESC-50 as published: ``meta/esc50.csv`` and ``audio/``."""

import dataclasses
from pathlib import Path

from ascjax.data import tables
from ascjax.data.layouts import table
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import LeftOut, Listing
from ascjax.errors import UserError

_META = Path("meta", "esc50.csv")
# As published, and as spreadsheets and databases write it.
_TRUE = ("true", "1", "yes")
_COLUMNS = {"path": "filename", "scene": "category", "fold": "fold", "location": "src_file"}


def detect(root: Path) -> str:
    """Returns the evidence: there is ``meta/esc50.csv``."""
    return f"there is {_META.as_posix()}" if (root / _META).is_file() else ""


def read(root: Path, request: Request) -> Listing:
    """Reads the table; a clip's location is its source recording. Split ``esc10`` is a subset."""
    whole = tables.read(root / _META)
    others: list[str] = []
    if request.split:
        place, name = whole.index("esc10"), whole.index("filename")
        rows = [(line, row) for line, row in whole.rows if row[place].casefold() in _TRUE]
        if not rows:
            raise UserError(
                f"{whole.path}: expected rows with True in the column esc10, got "
                f"{whole.rows[0][1][place]!r} and the like"
            )
        others = [
            f"audio/{row[name]}" for _, row in whole.rows if row[place].casefold() not in _TRUE
        ]
        whole = tables.Table(whole.path, whole.columns, rows)
    listing = table.listing(whole, _COLUMNS, lambda cells: f"audio/{cells['path']}", root)
    if not others:
        return listing
    left_out = LeftOut(f"clips not of {request.split}", len(others), others[0], harmless=True)
    unread = [root / other for other in others]
    return dataclasses.replace(listing, left_out=[left_out], unread=unread)


def splits(root: Path) -> list[str]:
    """Returns the one named subset, ESC-10."""
    return ["esc10"]


LAYOUT = Layout("ESC-50 as published: meta/esc50.csv, audio/", detect, read, splits)
