"""A run folder → a self-contained report.html.

Everything comes from files in the run folder: no data set, no model, no network. Only the sounds of
mistaken recordings are elsewhere, and left out where they aren't at hand.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ascjax.config import flatten
from ascjax.files import write_text
from ascjax.report import page, plots
from ascjax.report.examples import examples
from ascjax.report.facts import cost, origin
from ascjax.report.image import Image
from ascjax.report.mistakes import mistakes
from ascjax.report.text import SYNTHETIC_NOTE, commonest_share, untested, worst_confusions
from ascjax.report.trust import assess
from ascjax.runs.run import Run
from ascjax.scoring import clusters
from ascjax.scoring.fusion import METHODS
from ascjax.scoring.results import Results
from ascjax.training.journal import read_history


def write(run: Run | str | os.PathLike[str]) -> Path:
    """Writes ``report.html`` into the folder of a finished run.

    Args:
      run: opened, or its folder; metrics.jsonl, posteriors.npz and examples.npz are shown where
        they exist.

    Returns:
      The path of the page, which needs no other file.

    Raises:
      UserError: a file is missing or damaged; the message names it.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    if not run.tested:
        return _write_untested(run)
    folder, info, results = run.path.resolve(), run.info, run.results
    has_posteriors = (folder / "posteriors.npz").exists()
    calibration = results.calibration
    history = read_history(folder / "metrics.jsonl")
    text = page.template("report.html.j2").render(
        name=folder.name,
        path=str(folder),
        run=info,
        results=results,
        chance=results.chance,
        synthetic_note=SYNTHETIC_NOTE if info.data.synthetic else None,
        fused_by={
            "fragments": _in_words(results.fusion.fragments),
            "channels": _in_words(results.fusion.channels),
        },
        commonest=commonest_share(results),
        worst=worst_confusions(results),
        by_location=results.by_location,
        few_locations=clusters.FEW,
        trust=assess(run, calibration) if calibration and has_posteriors else None,
        history=history,
        curves=_curves(history, run) if history else None,
        confusion=confusion(results),
        mistakes=mistakes(run),
        examples=examples(run),
        missing=_missing(folder),
        origin=origin(info),
        cost=cost(
            info,
            results,
            epochs=len(history),
            model_file=folder / "model.safetensors",
        ),
        settings=list(flatten(run.config).items()),
        command=_command(run.config),
    )
    path = run.path / "report.html"
    write_text(path, text)
    return path


def _write_untested(run: Run) -> Path:
    """Writes the page of a run that was trained on every recording."""
    folder, info, calibration = run.path.resolve(), run.info, run.trained.calibration
    history = read_history(folder / "metrics.jsonl")
    text = page.template("untested.html.j2").render(
        name=folder.name,
        said=untested(info),
        chance=1 / len(info.scenes),
        synthetic_note=SYNTHETIC_NOTE if info.data.synthetic else None,
        run=info,
        calibration=calibration,
        history=history,
        curves=_curves(history, run) if history else None,
        origin=origin(info),
        cost=cost(info, run.trained, epochs=len(history), model_file=folder / "model.safetensors"),
        settings=list(flatten(run.config).items()),
        command=_command(run.config),
    )
    path = run.path / "report.html"
    write_text(path, text)
    return path


def _curves(history: Sequence[Mapping[str, Any]], run: Run) -> Image:
    chance, step = 1 / len(run.info.scenes), run.trained.step
    figure = plots.learning_curves(history, chance=chance, chosen_step=step)
    return Image.of(figure, "Loss and accuracy by epoch")


def confusion(results: Results) -> Image:
    """Returns the confusion matrix as an image."""
    figure = plots.confusion(np.array(results.confusion), scenes=results.scenes)
    return Image.of(figure, "Percentage of each true scene's recordings by predicted scene")


def _missing(folder: Path) -> list[str]:
    """Returns the names of files that the page would show more of."""
    shown = ("metrics.jsonl", "posteriors.npz", "examples.npz")
    return [name for name in shown if not (folder / name).exists()]


def _in_words(method: str) -> str:
    """Returns the first line of a fusion method's docstring, to stand within a sentence."""
    words = (METHODS[method].__doc__ or method).strip().rstrip(".")
    return words[0].lower() + words[1:]


def _command(config: Mapping[str, Any]) -> str:
    """Returns the command that trains with exactly these settings, every one of them spelt out."""
    flags = [shlex.quote(f"--config.{key}={value}") for key, value in flatten(config).items()]
    return " \\\n  ".join(["ascjax train --config=common", *flags])
