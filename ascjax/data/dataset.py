"""Which recordings exist: dataset layouts, folds, validation split."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ascjax.data import layouts, splits
from ascjax.data.layouts import Listing, Recording
from ascjax.errors import UserError, choose

__all__ = ["Dataset", "Recording", "load", "validation_split"]

LAYOUTS: Mapping[str, Callable[[Path, int], Listing]] = {
    "tut": layouts.read_tut,
    "folders": layouts.read_folders,
    "csv": layouts.read_csv,
}


@dataclass(frozen=True)
class Dataset:
    """The recordings of one fold of a set, and how they are split.

    Attributes:
      root: the folder or CSV file given.
      layout: ``tut``, ``folders`` or ``csv``.
      scenes: every scene, in the order of the posteriors.
      recordings: those of both parts, in a fixed order.
      train: indices of the training part.
      test: indices of the test part.
      folds: the numbers of the folds there are.
      notes: lines worth telling the user.
    """

    root: Path
    layout: str
    scenes: tuple[str, ...]
    recordings: tuple[Recording, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    folds: tuple[int, ...]
    notes: tuple[str, ...]


def load(
    root: str | Path, *, layout: str = "auto", fold: int = 1, scenes: Sequence[str] = ()
) -> Dataset:
    """Lists the recordings of a data set and splits them by a fold.

    Args:
      root: a data set's folder, or a CSV file.
      layout: ``tut`` (TUT/TAU Urban Acoustic Scenes as published), ``folders`` (one for each
        scene), ``csv`` (``path,scene[,fold,location,city]``) or ``auto``, which recognises them.
      fold: whose test part is the test part.
      scenes: the scene list in order; empty for the set's own, alphabetically.

    Raises:
      UserError: there is no such set, or a mistake in it; the message says where and what.
    """
    root = Path(root)
    if not root.exists():
        raise UserError(f"config.data.root: {root} doesn't exist; expected a folder or a CSV file")
    names = {"auto": "auto", **{name: name for name in LAYOUTS}}
    layout = choose("config.data.layout", layout, names)
    if layout == "auto":
        layout = _recognise(root)
    source = _csv_file(root) if layout == "csv" else root
    if layout != "csv" and not root.is_dir():
        raise UserError(f"config.data.root: expected a folder for {layout!r}, {root} is a file")
    listing = LAYOUTS[layout](source, fold)
    layouts.check_files(listing.recordings, source)
    own = sorted({recording.scene for recording in listing.recordings})
    dataset = Dataset(
        root,
        layout,
        tuple(scenes) or tuple(own),
        tuple(listing.recordings),
        tuple(listing.train),
        tuple(listing.test),
        listing.folds,
        tuple(listing.notes),
    )
    _check_scenes(dataset, fold)
    return dataset


def validation_split(
    dataset: Dataset, fraction: float = 0.3, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Holds out a share of the training part that has no location in common with the rest.

    Sides are balanced by scene and city as well as locations allow. A recording of unknown location
    counts as a location of its own.

    Args:
      dataset: whose training part is split.
      fraction: share held out, above 0 and below 1.
      seed: chooses among splits that are equally balanced.

    Returns:
      Indices of the recordings to train on and of those held out, each ascending; every scene is in
      both.

    Raises:
      UserError: the fraction is out of range, or a scene has one location only.
    """
    if not 0 < fraction < 1:
        raise UserError(
            f"config.data.validation_fraction: expected above 0 and below 1, got {fraction}"
        )
    part = [dataset.recordings[index] for index in dataset.train]
    held = splits.hold_out(
        [recording.scene for recording in part],
        [recording.city for recording in part],
        splits.groups([recording.location for recording in part]),
        fraction=fraction,
        seed=seed,
    )
    sides = tuple(
        [index for index, h in zip(dataset.train, held, strict=True) if h is side]
        for side in (False, True)
    )
    for side in sides:
        lacking = _absent(dataset, side)
        if lacking:
            raise UserError(
                f"{dataset.root}: scene {lacking[0]!r} has too few locations for a validation "
                "split with none in common; add recordings from another location, or pass "
                "--config.protocol=paper"
            )
    return sides[0], sides[1]


def _recognise(root: Path) -> str:
    """Returns the layout of an existing path."""
    if root.is_file():
        return "csv"
    if (root / "evaluation_setup").exists():
        return "tut"
    if _csv_files(root):
        return "csv"
    if (root / "meta.csv").exists():
        return "tut"
    if not any(root.iterdir()):
        raise UserError(f"config.data.root: {root} is empty; expected a data set")
    inner = next(root.glob("*/meta.csv"), None)
    if inner:
        raise UserError(f"config.data.root: the data set seems to be in {inner.parent}; pass that")
    return "folders"


def _csv_files(root: Path) -> list[Path]:
    """Returns the tables of recordings in a folder, known by their headers."""

    def header(path: Path) -> set[str]:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return set(file.readline().strip().split(","))

    return sorted(path for path in root.glob("*.csv") if {"path", "scene"} <= header(path))


def _csv_file(root: Path) -> Path:
    if root.is_file():
        return root
    files = _csv_files(root)
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise UserError(
            f"{root}: expected one CSV file with the columns path and scene, found {found}; pass "
            "the file itself as config.data.root"
        )
    return files[0]


def _check_scenes(dataset: Dataset, fold: int) -> None:
    """Raises if a label is in no scene list, or a scene in no training recording."""
    if len(set(dataset.scenes)) < len(dataset.scenes):
        raise UserError(f"config.data.scenes: expected each scene once, got {dataset.scenes}")
    unlisted = Counter(recording.scene for recording in dataset.recordings)
    for scene in dataset.scenes:
        del unlisted[scene]
    if unlisted:
        scene, count = unlisted.most_common(1)[0]
        example = next(r.name for r in dataset.recordings if r.scene == scene)
        raise UserError(
            f"{dataset.root}: {count:,} recordings are labelled {scene!r}, which is not in "
            f"config.data.scenes {dataset.scenes}; the first is {example!r}"
        )
    lacking = _absent(dataset, dataset.train)
    if lacking:
        raise UserError(
            f"{dataset.root}: no training recording of {', '.join(lacking)} in fold {fold}; add "
            "some, or leave the scene out"
        )
    if not dataset.test:
        raise UserError(f"{dataset.root}: fold {fold} has no test recording")


def _absent(dataset: Dataset, indices: Iterable[int]) -> list[str]:
    """Returns the scenes that none of these recordings has."""
    present = {dataset.recordings[index].scene for index in indices}
    return [scene for scene in dataset.scenes if scene not in present]
