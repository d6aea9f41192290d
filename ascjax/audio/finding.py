"""Finds the audio files that paths name, and those that can't be read."""

import os
import sys
from collections.abc import Iterable, Sequence
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
      UserError: a folder has no audio file.
    """
    files: list[Path] = []
    for path in paths:
        if not os.path.isdir(path):  # unlike Path.is_dir, False for names that no file can have
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if _is_wanted(file, path))
        if not inside:
            raise UserError(
                f"{display(path)}: expected audio files ({', '.join(SUFFIXES)}) in this folder, "
                "found none"
            )
        files += inside
    return list(dict.fromkeys(files))


def _is_wanted(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return is_audio(file.name) and not hidden and not file.is_dir()


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
