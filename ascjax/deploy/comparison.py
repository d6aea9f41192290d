"""Compares an exported network with its run, on recordings."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ascjax.audio.errors import BadRecording
from ascjax.audio.finding import find
from ascjax.data import synthetic
from ascjax.data.paths import files_of
from ascjax.errors import UserError
from ascjax.runs.predictor import Classifier
from ascjax.runs.run import Run
from ascjax.runs.sources import Source
from ascjax.words import counted

# Largest difference of a score or posterior that rounding explains.
TOLERANCE = 1e-4
MAX_RECORDINGS = 8


def recordings(run: Run, verify_on: Path | None, data: Path | None) -> tuple[list[Source], str]:
    """Returns recordings to compare on, and what they are.

    Those of ``verify_on``; else some of the run's test part, if they are still there; else
    synthetic scenes.

    Raises:
      UserError: ``verify_on`` isn't there or has no audio.
    """
    if verify_on is not None:
        if not verify_on.exists():
            raise UserError(f"--verify_on={verify_on}: expected audio files, there is nothing")
        files = _thinned(find([verify_on]))
        return list(files), f"{counted(len(files), 'recording')} of {verify_on.name}"
    files = _thinned([file for file in _test_files(run, data) if os.path.isfile(file)])
    if files:
        return list(files), f"{counted(len(files), 'recording')} of the run's test part"
    made: list[Source] = [
        (synthetic.synthesise(scene, 0, place, run.info.duration_s, 0), synthetic.SAMPLE_RATE_HZ)
        for place, scene in enumerate(list(synthetic.SCENES)[:MAX_RECORDINGS])
    ]
    return made, f"{counted(len(made), 'synthetic recording')}, as no test recording is at hand"


def _thinned(files: list[Path]) -> list[Path]:
    chosen = np.unique(np.linspace(0, len(files) - 1, MAX_RECORDINGS).round().astype(int))
    return [files[index] for index in chosen] if files else []


def _test_files(run: Run, data: Path | None) -> list[Path]:
    """Returns where the test part's recordings should be; none if there is no test part."""
    if not run.tested:
        return []
    return files_of(data or run.info.data.root, run.results.decisions.recording)


def largest_difference(
    exported: Classifier, reference: Classifier, sources: Iterable[Source]
) -> float:
    """Returns the largest difference of a recording's score or first window's posterior.

    Raises:
      UserError: a recording can't be read, or a value is not finite.
    """
    largest = 0.0
    for source in sources:
        pairs = []
        for classifier in (exported, reference):
            scores = classifier.predict(source).scores.values()
            pairs.append(np.append(classifier.posteriors(source).ravel(), list(scores)))
        largest = max(largest, float(np.abs(pairs[0] - pairs[1]).max()))
        if not np.isfinite(largest):
            raise UserError(f"{source}: the exported network's scores are not finite")
    return largest


def check(difference: float, compared_on: str) -> None:
    """Raises UserError if a difference is more than rounding explains."""
    if not difference <= TOLERANCE:
        raise UserError(
            f"the exported network differs from the run by up to {difference:.1e} on "
            f"{compared_on}, {TOLERANCE:.0e} is allowed; nothing was written"
        )


def test_part(run: Run, data: Path | None) -> list[Path]:
    """Returns the files of the run's test part.

    Raises:
      UserError: the run has none, or one isn't there.
    """
    files = _test_files(run, data)
    if not files:
        raise UserError(
            f"{run.path}: was trained on every recording, so that what int8 costs can't be "
            "measured; export without --quantise"
        )
    missing = next((file for file in files if not os.path.isfile(file)), None)
    if missing is not None:
        raise UserError(
            f"{missing}: expected a recording of the run's test part, which --quantise measures "
            "on; say with --data=DIR where the data set is"
        )
    return files


def right_answers(classifier: Classifier, run: Run, files: list[Path]) -> int:
    """Returns on how many recordings of a run's test part the likeliest scene is right.

    Raises:
      BadRecording: one can't be read.
    """
    right = 0
    for prediction, true in zip(classifier.each(files), run.results.decisions.true, strict=True):
        if isinstance(prediction, BadRecording):
            raise prediction
        right += prediction.likeliest == true
    return right
