"""TUT Acoustic Scenes 2016 and 2017 as published: ``meta.txt`` without a header, four folds."""

from pathlib import Path

from ascjax.data import tables
from ascjax.data.layouts import official
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import Listing, Recording, Tally, no_layout
from ascjax.errors import UserError


def detect(root: Path) -> str:
    """Returns the evidence: there is ``meta.txt``."""
    return "there is meta.txt" if (root / "meta.txt").is_file() else ""


def read(root: Path, request: Request) -> Listing:
    """Reads ``meta.txt`` and ``evaluation_setup``.

    A recording's location is what stands in its name before the first underscore, as the sets'
    own folds have it.
    """
    official.check_training(root)
    path, setup = root / "meta.txt", root / official.SETUP
    for needed in (path, setup):
        if not needed.exists():
            raise no_layout(root, f"{needed.name}, which TUT sets of 2016 and 2017 have")
    table = tables.read(path, "\t", header=("filename", "scene_label", "identifier"))
    if len(table.columns) < 2:
        raise UserError(f"{path}, line 1: expected file, tab, scene, got {table.rows[0][1][0]!r}")
    meta: dict[str, Recording] = {}
    for line, (name, scene, *_) in table.rows:
        if not name or not scene:
            raise UserError(f"{path}, line {line}: expected a file and its scene")
        if name in meta:
            raise UserError(f"{path}, line {line}: {name!r} is listed twice")
        location = Path(name).stem.partition("_")[0]
        meta[name] = Recording(name, root / name, scene, location)
    indices = {name: index for index, name in enumerate(meta)}
    tally = Tally()
    folds = official.read_folds(setup, indices, meta, tally)
    if not folds:
        raise no_layout(root, f"fold files in evaluation_setup: {official.PATTERN}")
    return Listing(list(meta.values()), folds, tally.left_out())


LAYOUT = Layout(
    "TUT Acoustic Scenes 2016 or 2017 as published: meta.txt, evaluation_setup/, audio/",
    detect,
    read,
)
