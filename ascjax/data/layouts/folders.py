"""A folder for each scene, with audio at any depth below it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ascjax.audio.wave import SUFFIXES
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import (
    Fold,
    Listing,
    Recording,
    Tally,
    dealt,
    is_audio,
    numbered,
    printable,
    relative,
)
from ascjax.errors import UserError

# The fold; as ESC-10 and ESC-50 have it, then the source recording, take, and in ESC-50 the class.
_FOLD_NAME = re.compile(r"(\d)-((\w+)-[A-Z](-\d+)?\.\w+)?")
_MEDIA = (
    ".m4a", ".aac", ".mp4", ".opus", ".wma", ".aif", ".aiff", ".aifc", ".au", ".caf", ".amr",
    ".3gp", ".webm", ".mka", ".mov", ".avi", ".mkv", ".ape", ".wv", ".ac3", ".w64", ".oga", ".m4b",
)  # fmt: skip
_CARRIED = (
    ".txt", ".md", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".html", ".pdf", ".log",
    ".png", ".jpg", ".jpeg", ".py", ".sh", ".ini",
)  # fmt: skip


def detect(root: Path) -> str:
    """Returns what tells this layout: any folder has it that has no other."""
    return "no list of recordings is there, so each folder is a scene"


def read(root: Path, request: Request) -> Listing:
    """Reads every scene's folder; names as ESC-10's give fold and location (the source clip).

    Hidden files and folders, files beside the scenes' folders and files of other kinds are left
    out.
    """
    tally, recordings, empty = Tally(), [], []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if not entry.is_dir():
            kind = "audio files" if is_audio(entry.name) else "files"
            name = printable(entry.name)
            tally.add(f"{kind} beside the scenes' folders", name, harmless=kind == "files")
        elif entry.name.startswith("."):
            _tally_hidden(Path(entry.path), root, tally)
        else:
            files = [Path(path) for path in _walk(Path(entry.path), root, tally)]
            scene = printable(entry.name)
            recordings += [Recording(relative(path, root), path, scene) for path in files]
            if not files:
                empty.append(scene)
    if not recordings:
        raise UserError(_found_none(root))
    notes = [f"folders without audio files are left out: {', '.join(empty)}"] if empty else []
    folds, located, note = _folds(recordings)
    return Listing(located, folds, tally.left_out(), [*notes, *note])


def _walk(folder: Path, root: Path, tally: Tally) -> Iterator[str]:
    """Yields audio files at any depth, by name; links are followed, but not into a circle."""
    seen = {os.path.realpath(folder)}

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: can't be listed ({error.strerror})")

    for at, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(at, name))
            if name.startswith("."):
                _tally_hidden(Path(at, name), root, tally)
            if name.startswith(".") or real in seen:
                folders.remove(name)
            seen.add(real)
        folders.sort()
        for name in sorted(names):
            path = os.path.join(at, name)
            if is_audio(name):
                yield path
            else:
                reason, harmless = _reason(name)
                tally.add(reason, relative(Path(path), root), harmless=harmless)


def _tally_hidden(folder: Path, root: Path, tally: Tally) -> None:
    for at, _, names in os.walk(folder):
        for name in sorted(names):
            if is_audio(name.lstrip(".")):
                tally.add("audio files in hidden folders", relative(Path(at, name), root))


def _reason(name: str) -> tuple[str, bool]:
    """Returns why a file is left out, and whether sets carry such files along."""
    if name.startswith("."):
        return "hidden files", True
    suffix = Path(name).suffix.lower()
    if suffix in _MEDIA:
        return f"{suffix} files (convert them: ffmpeg -i IN{suffix} OUT.wav)", False
    return f"{suffix} files" if suffix else "files without suffix", suffix in _CARRIED


def _found_none(root: Path) -> str:
    inside = [entry.name for entry in os.scandir(root) if entry.is_file() and is_audio(entry.name)]
    found = f"found {len(inside):,} in {root.name} itself" if inside else "found none"
    return (
        f"{root}: expected a folder of audio files ({', '.join(SUFFIXES)}) for each scene, {found}"
        "; make one for each scene, or pass a table path,scene"
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
    folds, note = dealt(recordings)
    return folds, recordings, [*notes, note]


LAYOUT = Layout(
    "a folder for each scene, with audio at any depth: DIR/park/a.wav, DIR/tram/day 2/b.flac",
    detect,
    read,
)
