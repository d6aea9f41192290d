"""UrbanSound8K as published: ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` … ``fold10``."""

from pathlib import Path

from ascjax.data import tables
from ascjax.data.layouts import table
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import Listing

_META = Path("metadata", "UrbanSound8K.csv")
_COLUMNS = {"path": "slice_file_name", "scene": "class", "fold": "fold", "location": "fsID"}


def detect(root: Path) -> str:
    """Returns the evidence: there is ``metadata/UrbanSound8K.csv``."""
    return f"there is {_META.as_posix()}" if (root / _META).is_file() else ""


def read(root: Path, request: Request) -> Listing:
    """Reads the table; a slice's location is its Freesound source recording."""

    def path(cells: dict[str, str]) -> str:
        return f"audio/fold{cells['fold']}/{cells['path']}"

    return table.listing(tables.read(root / _META), _COLUMNS, path, root)


LAYOUT = Layout(
    "UrbanSound8K as published: metadata/UrbanSound8K.csv, audio/fold1 to fold10", detect, read
)
