"""Recordings that a run mistook, with their sounds where these are at hand."""

import os
from dataclasses import dataclass
from pathlib import Path

from ascjax.data.paths import files_of
from ascjax.runs.run import Run

# What browsers play.
PLAYABLE = (".wav", ".ogg", ".mp3", ".flac")


@dataclass(frozen=True)
class Mistake:
    """A recording taken for another scene; ``sound`` is the file's URI, or None."""

    recording: str
    true: str
    predicted: str
    score: float
    sound: str | None


def mistakes(run: Run) -> list[Mistake]:
    """Returns a run's mistakes on its test part, the most confident first."""
    decisions = run.results.decisions
    columns = decisions.recording, decisions.true, decisions.predicted, decisions.score
    files = files_of(run.info.data.root, decisions.recording)
    found = [
        Mistake(recording, true, predicted, score, sound(file))
        for file, recording, true, predicted, score in zip(files, *columns, strict=True)
        if true != predicted
    ]
    return sorted(found, key=lambda mistake: -mistake.score)


def sound(path: Path) -> str | None:
    """Returns the URI of a recording's file if it is there now and browsers play its format."""
    playable = path.suffix.lower() in PLAYABLE and os.path.isfile(path)
    return path.resolve().as_uri() if playable else None
