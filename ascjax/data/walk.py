"""Audio files in a folder at any depth, and a count of everything else that lies there."""

import os
from collections.abc import Iterator
from pathlib import Path

from ascjax.audio.finding import walk
from ascjax.audio.formats import is_audio, is_readable
from ascjax.data.listing import Tally, relative

# Kinds of file that sets carry along; to leave them out is worth no line before each training.
_CARRIED = (
    ".txt", ".md", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".html", ".pdf", ".log",
    ".png", ".jpg", ".jpeg", ".py", ".sh", ".ini",
)  # fmt: skip


def audio_files(folder: Path, root: Path, tally: Tally) -> Iterator[Path]:
    """Yields the audio files that can be read at any depth of a folder, by name.

    Links are followed, but not into a circle. Hidden files and folders are left out.

    Args:
      folder: where to look.
      root: what examples in ``tally`` are relative to.
      tally: counts every other file by the reason why it is left out.

    Raises:
      UserError: a folder can't be listed.
    """
    for at, folders, names in walk(folder):
        for name in [name for name in folders if name.startswith(".")]:
            tally_hidden(at / name, root, tally)
            folders.remove(name)
        for name in names:
            path = at / name
            if is_readable(name):
                yield path
            else:
                reason, harmless = _reason(name)
                tally.add(reason, relative(path, root), harmless=harmless)


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, hidden ones too, by name; none if it can't be listed."""
    _, names, _ = next(os.walk(folder), ("", [], []))
    return [folder / name for name in sorted(names)]


def tally_hidden(folder: Path, root: Path, tally: Tally) -> None:
    """Counts the audio files in a hidden folder."""
    for at, _, names in os.walk(folder):
        for name in sorted(names):
            if is_audio(name.lstrip(".")):
                tally.add("audio files in hidden folders", relative(Path(at, name), root))


def _reason(name: str) -> tuple[str, bool]:
    """Returns why a file is left out, and whether sets carry such files along."""
    if name.startswith("."):
        return "hidden files", True
    suffix = Path(name).suffix.lower()
    if is_audio(name):
        return f"{suffix} files, for which ffmpeg must be installed", False
    return f"{suffix} files" if suffix else "files without suffix", suffix in _CARRIED
