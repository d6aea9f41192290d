"""Checks of a set's labels: spellings, names that are no scenes, scenes with few recordings."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ascjax.data.listing import Recording
from ascjax.data.walk import subfolders
from ascjax.errors import UserError
from ascjax.words import is_one_line

SMALL_SCENE = 10
_NO_SCENE = re.compile(
    r"(audio|wavs?|mp3|flac|ogg|data|clips?|sounds?|recordings?|samples?|files?|raw|"
    r"train(ing)?|test(ing)?|val(id(ation)?)?|eval(uation)?|dev(elopment)?|"
    r"(fold|split|part|set|session|disk|batch)[ _-]?\d*|"
    r".*\.(audio|meta|doc)([._-]?\d+)?)",
    re.IGNORECASE,
)


def check_scenes(root: Path, recordings: Sequence[Recording]) -> None:
    """Raises UserError unless there are two scenes, each in one spelling and on one line."""
    counts = Counter(recording.scene for recording in recordings)
    for scene in counts:
        if not is_one_line(scene):
            raise UserError(
                f"{root}: expected a name on one line for each scene, got {scene!r:.60}; rename "
                "its folder or label"
            )
    if len(counts) < 2:
        [scene] = counts
        below = _folders_below(root, scene)
        raise UserError(
            f"{root}: expected at least two scenes, found one: {scene!r} ({counts[scene]:,} "
            f"recordings); "
            + (
                f"if {', '.join(below)} are the scenes, pass {root / scene}"
                if below
                else "make a folder for each scene, or pass a table path,scene"
            )
        )
    spellings = defaultdict(list)
    for scene in sorted(counts):
        spellings[_spelling(scene)].append(scene)
    for written in spellings.values():
        if len(written) > 1:
            each = ", ".join(f"{scene!r} ({counts[scene]:,})" for scene in written)
            raise UserError(
                f"{root}: one scene in {len(written)} spellings: {each}; write all "
                f"{sum(counts[scene] for scene in written):,} labels the same way"
            )


def doubtful_scenes(scenes: Iterable[str]) -> list[str]:
    """Returns a warning if names look like parts of a set or kinds of file, not like scenes."""
    doubtful = [scene for scene in scenes if _NO_SCENE.fullmatch(scene)]
    if not doubtful:
        return []
    verb = "looks" if len(doubtful) == 1 else "look"
    return [
        f"warning: {', '.join(map(repr, doubtful))} {verb} like no scene: expected "
        "DIR/SCENE/…/file.wav; if the folders are parts or folds, pass a table path,scene,fold"
    ]


def small_scenes(recordings: Sequence[Recording], fewest: int = SMALL_SCENE) -> dict[str, int]:
    """Returns the number of recordings of each scene that has fewer than ``fewest``."""
    counts = Counter(recording.scene for recording in recordings)
    return {scene: count for scene, count in sorted(counts.items()) if count < fewest}


def _spelling(scene: str) -> str:
    """Returns a scene without regard to case, blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]+", " ", scene.strip()).casefold()


def _folders_below(root: Path, scene: str) -> list[str]:
    folder = root / scene
    # A table's label may be any text, also another folder's path.
    below = subfolders(folder) if folder in subfolders(root) else []
    inner = [path.name for path in below if not path.name.startswith(".")]
    return inner[:3] if len(inner) > 1 else []
