"""A larger run as the teacher of a smaller one: its scores of the training part."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from ascjax.data.listing import Recording
from ascjax.errors import UserError
from ascjax.files import read_arrays, write_arrays
from ascjax.runs.loading import load
from ascjax.runs.predictor import Classifier
from ascjax.scoring.fusion import fuse
from ascjax.signals import StopRequest

STORED = "teacher.npz"
_AT_ONCE = 16


def check(folder: str, scenes: Sequence[str], test: Sequence[Recording], fold: int) -> Classifier:
    """Returns a teacher that may teach a run with these scenes and this test part.

    Of a folder of folds it is the run on ``fold``.

    Raises:
      UserError: it is no finished run, knows other scenes, or may have learned test recordings.
    """
    teacher = load(folder)
    same = [run.path for run in teacher.runs if run.info.data.fold == fold]
    if len(teacher.runs) > 1 and same:
        teacher = load(same[0])
    if teacher.scenes != tuple(scenes):
        raise UserError(
            f"{folder}: its scenes are {', '.join(teacher.scenes)}; expected those of this run, "
            f"{', '.join(scenes)}"
        )
    tested = set[str]().union(*(run.results.decisions.recording for run in teacher.runs))
    learned = sorted({each.whole or each.name for each in test} - tested)
    if len(teacher.runs) > 1 or learned:
        example = f", e.g. {learned[0]}" if learned else ""
        raise UserError(
            f"{folder}: may have been trained on recordings of this run's test part{example}; "
            "expected one run on the same fold"
        )
    return teacher


def scores(
    teacher: Classifier, recordings: Sequence[Recording], workdir: Path, stop: StopRequest
) -> Float32[np.ndarray, "recording scene"]:
    """Returns the teacher's fused scores of recordings, computed once and kept in the run folder.

    Raises:
      UserError: one can't be read, or the file can't be written.
      Stopped: ``stop`` was requested.
    """
    names = np.array([each.name for each in recordings])
    path = workdir / STORED
    try:
        stored = read_arrays(path, "recording", "scores")
        shape = len(names), len(teacher.scenes)
        if np.array_equal(stored["recording"], names) and stored["scores"].shape == shape:
            return stored["scores"]
    except UserError:  # not there, or damaged: scored anew
        pass
    by = teacher.runs[0].results.fusion
    parts = []
    for start in tqdm(range(0, len(recordings), _AT_ONCE), "teacher", disable=None):
        stop.check("while the teacher scored the training part")
        paths = [each.path for each in recordings[start : start + _AT_ONCE]]
        parts.append(fuse(teacher.posteriors(paths), **asdict(by)))
    found = np.concatenate(parts).astype(np.float32)
    write_arrays(path, recording=names, scores=found)
    return found
