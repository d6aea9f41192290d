"""A folder for each part and in it one for each scene: ``DIR/train/park/``, ``DIR/test/park/``."""

import dataclasses
from pathlib import Path

from ascjax.audio.formats import is_readable
from ascjax.data.layouts import folders
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import Fold, LeftOut, Listing, Tally, no_layout
from ascjax.data.walk import subfolders

_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}


def detect(root: Path) -> str:
    """Returns the evidence: folders train and test with a scene in common."""
    found = _folders(root)
    if set(found) != {"train", "test"}:
        return ""
    shared = _names(found["train"]) & _names(found["test"])
    if not shared:
        return ""
    names = f"{found['train'].name} and {found['test'].name}"
    return f"the folders {names} both have a folder {min(shared)}"


def read(root: Path, request: Request) -> Listing:
    """Reads both parts; other folders beside them, such as one for validation, are left out."""
    found = _folders(root)
    if set(found) != {"train", "test"}:
        raise no_layout(root, "folders train and test")
    recordings, sizes, left_out, notes = [], [], [], []
    for part in ("train", "test"):
        folder, tally = found[part], Tally()
        inside, more = folders.find(folder, tally)
        recordings += [
            dataclasses.replace(each, name=f"{folder.name}/{each.name}") for each in inside
        ]
        sizes.append(len(inside))
        notes += [f"{folder.name}: {note}" for note in more]
        left_out += [
            dataclasses.replace(kind, example=f"{folder.name}/{kind.example}")
            for kind in tally.left_out()
        ]
    others = sorted(_names(root) - {folder.name for folder in found.values()})
    if others:
        left_out.append(LeftOut("folders beside train and test", len(others), others[0]))
    files = sorted(each.name for each in root.iterdir() if each.is_file())
    if loose := [name for name in files if is_readable(name)]:
        left_out.append(LeftOut("audio files beside train and test", len(loose), loose[0]))
    count = sum(sizes)
    fold = Fold(tuple(range(sizes[0])), tuple(range(sizes[0], count)))
    return Listing(recordings, {1: fold}, left_out, notes)


def _folders(root: Path) -> dict[str, Path]:
    """Returns the folder of each part; nothing for a part with several."""
    found: dict[str, Path] = {}
    for name in _names(root):
        part = _PARTS.get(name.lower())
        if part in found:
            return {}
        if part:
            found[part] = root / name
    return found


def _names(folder: Path) -> set[str]:
    return {path.name for path in subfolders(folder) if not path.name.startswith(".")}


LAYOUT = Layout(
    "a folder for each part and in it one for each scene: DIR/train/park/, DIR/test/park/",
    detect,
    read,
)
