"""Files that a set names, located on disk: missing, in another Unicode form, outside the set."""

import dataclasses
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ascjax.audio.formats import is_readable
from ascjax.data.listing import LeftOut, Recording, Tally, composed, printable, relative
from ascjax.data.walk import audio_files
from ascjax.errors import UserError

# Folders of a path that are looked for in another Unicode form: each takes a step of the stack.
_MOST_PARTS = 200
_UNPACKED = "; is the audio unpacked there?"


class Folders:
    """The entries of folders; each folder is listed once, faster than asking for each file."""

    def __init__(self) -> None:
        self._links: dict[Path, dict[str, bool]] = {}
        self._composed: dict[Path, dict[str, str]] = {}
        self._real: dict[Path, str] = {}

    def entries(self, folder: Path) -> dict[str, bool]:
        """Returns whether each entry of a folder is a link; nothing if it is no folder."""
        if folder not in self._links:
            try:
                with os.scandir(folder) as found:
                    self._links[folder] = {entry.name: entry.is_symlink() for entry in found}
            except (OSError, ValueError):  # a null byte in a list's name
                self._links[folder] = {}
        return self._links[folder]

    def find(self, path: Path) -> Path | None:
        """Returns the path of an existing entry whose name is equal in Unicode form NFC."""
        if path.name in self.entries(path.parent):
            return path
        if path.parent == path or len(path.parts) > _MOST_PARTS:
            return None
        folder = path.parent if self.entries(path.parent) else self.find(path.parent)
        if folder is None:
            return None
        if folder not in self._composed:
            self._composed[folder] = {composed(name): name for name in self.entries(folder)}
        name = self._composed[folder].get(composed(path.name))
        return None if name is None else folder / name

    def locate(self, path: Path) -> Path | None:
        r"""Returns the path on disk of a listed file; ``\`` may stand between folders."""
        found = self.find(path)
        if found is None and "\\" in path.name:
            return self.find(Path(str(path).replace("\\", "/")))
        return found

    def real(self, path: Path) -> str:
        """Returns the path of an existing file without links, ``.`` and ``..``."""
        if path.name == ".." or self.entries(path.parent).get(path.name, True):
            return os.path.realpath(path)
        if path.parent not in self._real:
            self._real[path.parent] = os.path.realpath(path.parent)
        return os.path.join(self._real[path.parent], path.name)


def locate(recordings: Sequence[Recording], source: Path, folders: Folders) -> list[Recording]:
    r"""Returns recordings with the paths that are on disk.

    Names may be composed in the list and decomposed on disk, or the reverse, and may be written
    with ``\`` between folders.

    Raises:
      UserError: files are missing; the message has their number, the first, and a similar one.
    """
    located, missing = [], []
    for recording in recordings:
        path = folders.locate(recording.path)
        if path is None:
            missing.append(recording)
        elif path != recording.path:
            recording = dataclasses.replace(recording, path=path)
        located.append(recording)
    if missing:
        raise UserError(
            f"{source} names {len(missing):,} of {len(recordings):,} files that aren't there, the "
            f"first is {missing[0].path}"
            + (_similar(missing[0].path, source) or _UNPACKED * (len(missing) == len(recordings)))
        )
    return located


def files_of(root: str | Path, names: Iterable[str]) -> list[Path]:
    """Returns where recordings of a set are on disk, or where they should be.

    Args:
      root: the set's folder, or its table.
      names: of recordings in the set, as runs keep them.
    """
    folder = Path(os.path.expanduser(root))
    folder = folder.parent if os.path.isfile(folder) else folder
    folders = Folders()
    return [folders.locate(folder / name) or folder / name for name in names]


def outside(recordings: Sequence[Recording], root: Path, folders: Folders) -> list[Recording]:
    """Returns recordings whose files lie outside a folder, by ``..``, absolute path or link."""
    inside = os.path.join(os.path.realpath(root), "")
    return [r for r in recordings if not folders.real(r.path).startswith(inside)]


def unlisted(
    recordings: Sequence[Recording], folders: Folders, unread: Collection[Path] = ()
) -> list[LeftOut]:
    """Returns the audio files that lie beside recordings of a set and that it doesn't name.

    ``unread`` are files that it names and that are none of the recordings.
    """
    named: dict[Path, set[str]] = {}
    for recording in recordings:
        named.setdefault(recording.path.parent, set()).add(recording.path.name)
    tally = Tally()
    for folder, names in named.items():
        for name in sorted(folders.entries(folder).keys() - names):
            path = folder / name
            if is_readable(name) and path not in unread and os.path.isfile(path):
                tally.add("audio files that the set's list does not name", printable(str(path)))
    return tally.left_out()


def unlisted_below(root: Path, recordings: Sequence[Recording]) -> list[LeftOut]:
    """Returns the audio files at any depth of a set's folder that are none of its recordings."""
    named = {os.path.normpath(recording.path) for recording in recordings}
    tally = Tally()
    for path in audio_files(root, root, Tally()):
        if os.path.normpath(path) not in named:
            tally.add("audio files that the set's list does not name", relative(path, root))
    return tally.left_out()


def _similar(path: Path, source: Path) -> str:
    """Returns where a file of the same name, in any case and of any suffix, lies below a set."""
    root = source if os.path.isdir(source) else source.parent
    wanted, stem = path.name.casefold(), path.stem.casefold()
    close = ""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.casefold() == wanted:
                return f"; there is {printable(os.path.join(folder, name))}"
            if not close and Path(name).stem.casefold() == stem:
                close = f"; there is {printable(os.path.join(folder, name))}"
    return close
