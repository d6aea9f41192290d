"""DCASE 2013 scenes as published: one folder, the label is the name without its two digits."""

import re
from collections import Counter
from pathlib import Path

from ascjax.audio.formats import is_audio
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import Listing, Recording, Tally, assign_folds, no_layout, relative

_NAME = re.compile(r"([A-Za-z_]*[A-Za-z])(\d\d)\.\w+")
_FOLDER = "scenes_stereo"


def detect(root: Path) -> str:
    """Returns the evidence: all audio lies in one folder, named as ``bus01.wav``."""
    folder = _folder(root)
    names = [path.name for path in folder.iterdir() if is_audio(path.name)]
    labels = Counter(match[1] for match in map(_NAME.fullmatch, names) if match)
    if len(labels) < 2 or labels.total() < len(names) or min(labels.values()) < 2:
        return ""
    return f"all names in {folder.name} are a scene and two digits"


def read(root: Path, request: Request) -> Listing:
    """Reads the names; no folds are published, so five are made."""
    tally, recordings = Tally(), []
    for path in sorted(_folder(root).iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and is_audio(path.name) and path.is_file():
            recordings.append(Recording(relative(path, root), path, match[1]))
        elif path.is_file():
            tally.add("files not named as a scene and two digits", relative(path, root))
    if not recordings:
        raise no_layout(root, "audio files named as bus01.wav")
    folds, note = assign_folds(recordings)
    return Listing(recordings, folds, tally.left_out(), [note])


def _folder(root: Path) -> Path:
    inner = root / _FOLDER
    return inner if inner.is_dir() else root


LAYOUT = Layout("DCASE 2013 scenes as published: scenes_stereo/bus01.wav", detect, read)
