"""A run folder → a self-contained report.html.

Everything comes from files in the run folder: no data set, no model, no network. The numbers are
those of results.json; only the scores of the recordings shown as examples are fused anew.
"""

import base64
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ascjax.config import flatten
from ascjax.errors import UserError
from ascjax.files import TEST_AGAIN, read_arrays, write_text
from ascjax.report import page, plots
from ascjax.report.text import SYNTHETIC_NOTE, commonest_share, duration, worst_confusions
from ascjax.runs.folder import RunResults
from ascjax.runs.run import Run
from ascjax.scoring.fusion import METHODS, fuse
from ascjax.scoring.results import Results
from ascjax.training.journal import read_history


def write(run_dir: str | os.PathLike[str]) -> Path:
    """Writes ``report.html`` into the folder of a finished run.

    Args:
      run_dir: the folder; metrics.jsonl, and posteriors.npz with examples.npz, are shown where they
        exist.

    Returns:
      The path of the page, which needs no other file.

    Raises:
      UserError: a file is missing or damaged; the message names it.
    """
    run = Run.open(run_dir)
    folder, info, results = run.path, run.info, run.results
    history = read_history(folder / "metrics.jsonl")
    text = page.template("report.html.j2").render(
        name=folder.resolve().name,
        path=folder.resolve(),
        run=info,
        results=results,
        synthetic_note=SYNTHETIC_NOTE if info.data.synthetic else None,
        fused_by={
            "fragments": _in_words(results.fusion.fragments),
            "channels": _in_words(results.fusion.channels),
        },
        commonest=commonest_share(results),
        worst=worst_confusions(results),
        history=history,
        training_time=duration(sum((entry.get("seconds", 0) for entry in history), start=0.0)),
        curves=_curves(history, results) if history else None,
        confusion=_confusion(results),
        examples=_examples(run),
        settings=list(flatten(run.config).items()),
        command=_command(run.config),
    )
    path = folder / "report.html"
    write_text(path, text)
    return path


def _curves(history: Sequence[Mapping[str, Any]], results: RunResults) -> dict[str, Any]:
    figure = plots.learning_curves(history, chance=results.chance, chosen_step=results.step)
    return _image(figure, "Loss and accuracy by epoch")


def _confusion(results: Results) -> dict[str, Any]:
    figure = plots.confusion(np.array(results.confusion), scenes=results.scenes)
    return _image(figure, "Percentage of each true scene's recordings by predicted scene")


def _examples(run: Run) -> list[dict[str, Any]]:
    """The recordings of examples.npz with their figures; none if a file for them is missing."""
    path = run.path / "examples.npz"
    if not path.exists() or not (run.path / "posteriors.npz").exists():
        return []
    shown = read_arrays(path, "recording", "log_mel")
    if np.any(shown["recording"] >= run.results.recordings):
        raise UserError(f"{path}: expected recordings of posteriors.npz, got others; {TEST_AGAIN}")
    front_end = run.front_end
    hop_size_s = front_end.hop_length / front_end.sample_rate_hz
    return [
        _example(run, index, plots.LogMel(log_mel, hop_size_s, front_end.sample_rate_hz))
        for index, log_mel in zip(shown["recording"].tolist(), shown["log_mel"], strict=True)
    ]


def _example(run: Run, index: int, log_mel: plots.LogMel) -> dict[str, Any]:
    results, stored = run.results, run.test_posteriors
    channels, scenes, by = results.channels, results.scenes, results.fusion
    posteriors, true_scene = stored.posteriors[index], int(stored.label[index])
    channel = "average" if "average" in channels else channels[0]
    scores = fuse(posteriors[None], fragments=by.fragments, channels=by.channels)[0]
    name = str(stored.recording[index])
    figure = plots.fragments(
        log_mel,
        posteriors[channels.index(channel)],
        scores,
        scenes=scenes,
        true_scene=true_scene,
        overlap=run.info.overlap,
    )
    return {
        "name": name,
        "channel": channel,
        "true": scenes[true_scene],
        "predicted": scenes[scores.argmax()],
        "true_score": float(scores[true_scene]),
        "predicted_score": float(scores.max()),
        "image": _image(figure, f"Log-mel of {name} and the posteriors of its fragments"),
    }


def _image(figure: Figure, description: str) -> dict[str, Any]:
    """A figure as an image that lives in the page: ``src``, ``alt``, ``width`` in CSS pixels."""
    data = base64.b64encode(plots.encode(figure, "svg", dpi=100)).decode("ascii")
    return {
        "src": f"data:image/svg+xml;base64,{data}",
        "alt": description,
        "width": round(96 * figure.get_figwidth()),
    }


def _in_words(method: str) -> str:
    """The first line of a fusion method's docstring, to stand within a sentence."""
    words = (METHODS[method].__doc__ or method).strip().rstrip(".")
    return words[0].lower() + words[1:]


def _command(config: Mapping[str, Any]) -> str:
    """The command that trains with exactly these settings, every one of them spelt out."""
    flags = [shlex.quote(f"--config.{key}={value}") for key, value in flatten(config).items()]
    return " \\\n  ".join(["ascjax train --config=common", *flags])
