"""DCASE 2013 scenes as published: the label is the name without its two digits.

One folder of recordings; where the test set's lies beside it, that is the test part.
"""

import re
from collections import Counter
from pathlib import Path

from ascjax.audio.formats import is_audio
from ascjax.data.layouts.layout import Layout, Request
from ascjax.data.listing import (
    Fold,
    Listing,
    Recording,
    Tally,
    assign_folds,
    no_layout,
    relative,
)

_NAME = re.compile(r"([A-Za-z_]*[A-Za-z])(\d\d)\.\w+")
_FOLDER = "scenes_stereo"
_TEST_FOLDER = "scenes_stereo_testset"


def detect(root: Path) -> str:
    """Returns the evidence: all audio lies in one folder, named as ``bus01.wav``."""
    folder = _folder(root)
    names = [path.name for path in folder.iterdir() if is_audio(path.name)]
    labels = Counter(match[1] for match in map(_NAME.fullmatch, names) if match)
    if len(labels) < 2 or labels.total() < len(names) or min(labels.values()) < 2:
        return ""
    return f"all names in {folder.name} are a scene and two digits"


def read(root: Path, request: Request) -> Listing:
    """Reads the names; no folds are published, so without the test set five are made."""
    tally = Tally()
    recordings = _read(_folder(root), root, tally)
    if not recordings:
        raise no_layout(root, "audio files named as bus01.wav")
    test_folder = root / _TEST_FOLDER
    tested = _read(test_folder, root, tally) if test_folder.is_dir() else []
    if not tested:
        folds, note = assign_folds(recordings)
        return Listing(recordings, folds, tally.left_out(), [note])
    count = len(recordings)
    fold = Fold(tuple(range(count)), tuple(range(count, count + len(tested))))
    note = f"the test part is {_TEST_FOLDER} ({len(tested):,} recordings)"
    return Listing([*recordings, *tested], {1: fold}, tally.left_out(), [note])


def _read(folder: Path, root: Path, tally: Tally) -> list[Recording]:
    recordings = []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and is_audio(path.name) and path.is_file():
            recordings.append(Recording(relative(path, root), path, match[1]))
        elif path.is_file():
            tally.add("files not named as a scene and two digits", relative(path, root))
    return recordings


def _folder(root: Path) -> Path:
    inner = root / _FOLDER
    return inner if inner.is_dir() else root


LAYOUT = Layout("DCASE 2013 scenes as published: scenes_stereo/bus01.wav", detect, read)
