"""A folder for each scene, with audio at any depth below it."""

import os
import re
from pathlib import Path

from ascjax.audio.formats import is_audio
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import (
    Fold,
    Listing,
    Recording,
    Tally,
    assign_folds,
    numbered,
    printable,
    relative,
)
from ascjax.data.walk import audio_files, tally_hidden
from ascjax.errors import UserError
from ascjax.words import listed

# The fold; as ESC-10 and ESC-50 have it, then the source recording, take, and in ESC-50 the class.
_FOLD_NAME = re.compile(r"(\d)-((\w+)-[A-Z](-\d+)?\.\w+)?")


def detect(root: Path) -> str:
    """Returns the evidence; any folder of no other layout has this one."""
    return "no list of recordings is there, so each folder is a scene"


def read(root: Path, request: Request) -> Listing:
    """Reads every scene's folder; names as ESC-10's give fold and location (the source clip).

    Hidden files and folders, files beside the scenes' folders and files of other kinds are left
    out.
    """
    tally = Tally()
    recordings, notes = find(root, tally)
    folds, located, more = _folds(recordings)
    return Listing(located, folds, tally.left_out(), [*notes, *more])


def find(root: Path, tally: Tally) -> tuple[list[Recording], list[str]]:
    """Returns the recordings in scenes' folders, and a note on folders without any.

    Raises:
      UserError: there is none, or a folder can't be listed.
    """
    recordings: list[Recording] = []
    empty = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        path = Path(entry.path)
        if not entry.is_dir():
            kind = "audio files" if is_audio(entry.name) else "files"
            name = relative(path, root)
            tally.add(f"{kind} beside the scenes' folders", name, harmless=kind == "files")
        elif entry.name.startswith("."):
            tally_hidden(path, root, tally)
        else:
            scene, before = printable(entry.name), len(recordings)
            for file in audio_files(path, root, tally):
                recordings.append(Recording(relative(file, root), file, scene))
            if len(recordings) == before:
                empty.append(scene)
    if not recordings:
        raise UserError(_found_none(root))
    notes = [f"folders without audio files: {', '.join(empty)}"] if empty else []
    return recordings, [*notes, *_inner(recordings)]


def _inner(recordings: list[Recording]) -> list[str]:
    """Returns a note if the folders within may be the scenes: the same two or more in each."""
    inside: dict[str, set[str]] = {}
    for recording in recordings:
        folder, *deeper = Path(recording.name).parts[1:]
        inside.setdefault(recording.scene, set()).add(folder if deeper else "")
    first, *others = inside.values()
    if not others or len(first) < 2 or "" in first or any(names != first for names in others):
        return []
    return [
        f"each scene's folder has the same folders in it: {listed(sorted(first), 3)}; if those "
        "are the scenes, pass a table path,scene"
    ]


def _found_none(root: Path) -> str:
    inside = [entry.name for entry in os.scandir(root) if entry.is_file() and is_audio(entry.name)]
    found = f"found {len(inside):,} in {root.name} itself" if inside else "found none"
    return (
        f"{root}: expected a folder of audio files (.wav, .flac, .mp3, …) for each scene, {found}; "
        "make one for each scene, or pass a table path,scene"
    )


def _folds(recordings: list[Recording]) -> tuple[dict[int, Fold], list[Recording], list[str]]:
    """Returns folds, recordings with their locations, and notes, from the names if all tell."""
    matches = [_FOLD_NAME.match(recording.path.name) for recording in recordings]
    numbers = [int(match[1]) for match in matches if match]
    if len(numbers) == len(recordings) and len(set(numbers)) > 1:
        located = [
            Recording(r.name, r.path, r.scene, location=(match and match[3]) or "")
            for r, match in zip(recordings, matches, strict=True)
        ]
        return numbered(numbers), located, []
    odd = [r.name for r, match in zip(recordings, matches, strict=True) if not match]
    notes = []
    if numbers and odd:
        notes.append(f"{len(odd):,} names begin with no fold, e.g. {odd[0]}")
    folds, note = assign_folds(recordings)
    return folds, recordings, [*notes, note]


LAYOUT = Layout(
    "a folder for each scene, with audio at any depth: DIR/park/a.wav, DIR/tram/day 2/b.flac",
    detect,
    read,
)
