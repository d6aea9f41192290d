"""Finds the audio files that paths name, and those that can't be read."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ascjax.audio import isolated
from ascjax.audio.errors import BadRecording, bad_recording, display
from ascjax.audio.formats import SUFFIXES, is_audio
from ascjax.audio.opening import open_source
from ascjax.errors import UserError
from ascjax.words import counted

# Standard input, among paths.
STDIN = Path("-")


def find(paths: Iterable[Path]) -> list[Path]:
    """Returns files as they are, folders as the audio files below them by name, each file once.

    Hidden files and those in hidden folders are left out.

    Raises:
      UserError: a folder has no audio file, or one can't be listed.
    """
    files: list[Path] = []
    for path in paths:
        if not os.path.isdir(path):  # unlike Path.is_dir, False for names that no file can have
            files.append(path)
            continue
        inside: list[Path] = []
        for at, folders, names in walk(path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside += [at / name for name in names if is_audio(name) and not name.startswith(".")]
        if not inside:
            raise UserError(
                f"{display(path)}: expected audio files ({', '.join(SUFFIXES)}) in this folder, "
                "found none"
            )
        files += sorted(inside)
    return list(dict.fromkeys(files))


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yields each folder at any depth with the names of its folders and of its files, in order.

    Links are followed, but not into a circle. Folders that the caller removes are not entered.

    Raises:
      UserError: a folder can't be listed.
    """
    seen = {os.path.realpath(folder)}

    def refuse(error: OSError) -> None:
        raise UserError(f"{display(error.filename)}: can't be listed ({error.strerror})")

    for at, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        folders.sort()
        yield Path(at), folders, sorted(names)
        # A folder is known by its own name before that of a link.
        paths = {name: os.path.join(at, name) for name in folders}
        for name in sorted(folders, key=lambda name: os.path.islink(paths[name])):
            real = os.path.realpath(paths[name])
            if real in seen:
                folders.remove(name)
            seen.add(real)


def find_bad(files: Iterable[Path]) -> dict[Path, BadRecording]:
    """Returns why files can't be read, as far as headers and last bytes say: no file is decoded."""
    files = list(files)
    errors = isolated.each(_check, files)
    return {file: error for file, error in zip(files, errors, strict=True) if error is not None}


def _check(file: Path) -> None:
    """Raises BadRecording as far as header and last bytes say."""
    with open_source(file) as source:
        if source.num_samples is not None and not source.has_end():
            raise bad_recording(
                file, f"cut short: the last of {source.num_samples:,} samples is missing"
            )


def readable(files: Iterable[Path]) -> tuple[list[Path], list[BadRecording]]:
    """Returns the files that can be opened, and the errors of the others, which are printed."""
    files = list(files)
    bad = find_bad(file for file in files if file != STDIN)
    for error in bad.values():
        print(error, file=sys.stderr)
    return [file for file in files if file not in bad], list(bad.values())


def finish(bad: Sequence[BadRecording], count: int) -> None:
    """Raises UserError if some of ``count`` recordings were bad."""
    if bad:
        raise UserError(
            f"{len(bad)} of {counted(count, 'recording')} can't be read, as said above; "
            f"{'the others are done' if count > len(bad) else 'nothing is done'}"
        )
