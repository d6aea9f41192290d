"""Fold files of the TUT, TAU and DCASE sets: ``fold1_train.csv`` and the like."""

import re
from collections.abc import Mapping
from pathlib import Path

from ascjax.audio.errors import display
from ascjax.audio.formats import is_audio
from ascjax.data import tables
from ascjax.data.listing import Fold, Recording, Tally
from ascjax.errors import UserError

HEADER = ("filename", "scene_label")
SETUP = "evaluation_setup"
PATTERN = "foldN_train.csv and foldN_evaluate.csv (or .txt), N without leading zeros"
_FOLD_FILE = re.compile(r"fold([1-9]\d*)_(train|test|evaluate)\.(?:txt|csv)")
# Lists that come with a set and are no folds of it.
_OTHER_LIST = re.compile(r"(split\d+|test)\.csv")
_ALMOST = re.compile(r"fold.*(train|test|evaluat).*\.(txt|csv)", re.IGNORECASE)


def check_training(root: Path) -> None:
    """Raises UserError if a set's lists are of test recordings alone, as evaluation sets have."""
    setup = root / SETUP
    names = [path.name for path in setup.iterdir()] if setup.is_dir() else []
    tests = sorted(name for name in names if re.search(r"test|evaluate", name))
    if tests and not any("train" in name.lower() for name in names):
        raise UserError(
            f"{root}: an evaluation set, with {SETUP}/{tests[0]} and no list of training "
            f"recordings; ascjax predict --run=DIR {root / 'audio'} predicts it"
        )


def fold_files(setup: Path, tally: Tally) -> dict[int, dict[str, Path]]:
    """Returns the files of each fold by part: ``train`` and ``test`` or ``evaluate``.

    Files that are named otherwise, such as an editor's backups, are counted in ``tally``.

    Raises:
      UserError: a part is there twice, or no file is named as a fold's training part, or not each
        fold has one.
    """
    found: dict[int, dict[str, Path]] = {}
    others = []
    for path in sorted(setup.iterdir()):
        match = _FOLD_FILE.fullmatch(path.name)
        if not match and _OTHER_LIST.fullmatch(path.name):
            continue
        if not match:
            others.append(path.name)
            tally.add(f"files in {setup.name} that are not named as fold files", path.name)
            continue
        parts = found.setdefault(int(match[1]), {})
        if match[2] in parts:
            raise UserError(f"{setup}: {parts[match[2]].name} and {path.name} are both there")
        parts[match[2]] = path
    almost = [name for name in others if _ALMOST.fullmatch(name)]
    lacking = not any("train" in parts for parts in found.values())
    if almost and lacking:
        raise UserError(f"{setup}: {almost[0]} is not named as a fold file: expected {PATTERN}")
    for fold, parts in sorted(found.items()):
        if "train" not in parts and not lacking:
            [name, *_] = (path.name for path in parts.values())
            raise UserError(
                f"{setup}: fold {fold} needs fold{fold}_train.csv (or .txt) beside {name}, and "
                "there is none; is the set unpacked whole?"
            )
    return {} if lacking else dict(sorted(found.items()))


def read_folds(
    setup: Path, recordings: Mapping[str, int], meta: Mapping[str, Recording], tally: Tally
) -> dict[int, Fold]:
    """Reads every fold under ``evaluation_setup``.

    Args:
      setup: the folder.
      recordings: the index of each name of the set.
      meta: the recording of each name.
      tally: counts files that are no fold files.

    Raises:
      UserError: a fold lacks its test part, or one of its files doesn't fit the set.
    """
    folds = {}
    for fold, parts in fold_files(setup, tally).items():
        test = parts.get("evaluate") or parts.get("test")
        if test is None:
            raise UserError(
                f"{setup}: fold {fold} needs fold{fold}_evaluate.csv or fold{fold}_test.csv (or "
                ".txt), and there is none"
            )
        folds[fold] = read_fold(parts["train"], test, recordings, meta)
    return folds


def read_fold(
    train_path: Path, test_path: Path, indices: Mapping[str, int], meta: Mapping[str, Recording]
) -> Fold:
    """Reads a fold's two files; raises UserError if they share a recording."""
    train, test = _read_part(train_path, meta), _read_part(test_path, meta)
    both = train & test
    if both:
        raise UserError(
            f"{test_path}: {len(both):,} recordings are in {train_path.name} too, the first is "
            f"{min(both)!r}; expected disjoint parts"
        )
    return Fold(*(tuple(sorted(indices[name] for name in part)) for part in (train, test)))


def _read_part(path: Path, meta: Mapping[str, Recording]) -> set[str]:
    """Returns the names in a fold file, each checked against the set's own list."""
    table = tables.read(path, header=HEADER)
    places = tables.roles(table.columns, None, path, ("path",))
    names: set[str] = set()
    strange: list[tuple[int, str]] = []
    for line, row in table.rows:
        name = row[places["path"]]
        if not name:
            raise UserError(f"{path}, line {line}: the column filename is empty")
        if name in names:
            raise UserError(f"{path}, line {line}: {name!r} is listed twice")
        names.add(name)
        if name not in meta:
            strange.append((line, name))
        elif "scene" in places and row[places["scene"]] != meta[name].scene:
            raise UserError(
                f"{path}, line {line}: {name!r} is labelled {row[places['scene']]!r}, and "
                f"{meta[name].scene!r} in the set's own list"
            )
    if strange:
        line, name = strange[0]
        if not is_audio(name):
            raise UserError(
                f"{path}, line {line}: expected the name of an audio file, got "
                f"{display(name[:60])!r}; is this a list of recordings?"
            )
        count = f"{len(strange):,} of {len(table.rows):,} names are"
        raise UserError(
            f"{path}, line {line}: {name!r} is not in the set's own list ({count} not); "
            "is this another year's file?"
        )
    return names
