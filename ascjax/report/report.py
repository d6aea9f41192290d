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
from ascjax.files import TEST_AGAIN, need, read_arrays, read_json, write_text
from ascjax.report import page, plots
from ascjax.report.text import SYNTHETIC_NOTE, commonest_share, duration, worst_confusions
from ascjax.runs.folder import read_posteriors, read_results, read_run
from ascjax.scoring.fusion import METHODS, fuse
from ascjax.training.journal import read_history


def write(run_dir: str | os.PathLike[str]) -> Path:
    """Writes ``report.html`` into a run folder.

    Args:
      run_dir: a folder with config.json, run.json and results.json; metrics.jsonl, and
        posteriors.npz with examples.npz, are shown if they are there.

    Returns:
      The path of the page, which needs no other file.

    Raises:
      UserError: a file is missing or damaged; the message names it.
    """
    folder = Path(run_dir)
    config = read_json(folder / "config.json")
    run = read_run(folder)
    results = read_results(folder)
    history = read_history(folder / "metrics.jsonl")
    text = page.template("report.html.j2").render(
        name=folder.resolve().name,
        run=run,
        results=results,
        synthetic_note=SYNTHETIC_NOTE if run["synthetic"] else None,
        fused_by={axis: _in_words(method) for axis, method in results["fusion"].items()},
        commonest=commonest_share(results),
        worst=worst_confusions(results),
        history=history,
        training_time=duration(sum((entry.get("seconds", 0) for entry in history), start=0.0)),
        curves=_curves(history, results) if history else None,
        confusion=_confusion(results),
        examples=_examples(folder, run, results),
        settings=list(flatten(config).items()),
        command=_command(config),
    )
    path = folder / "report.html"
    write_text(path, text)
    return path


def _curves(history: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> dict[str, Any]:
    figure = plots.learning_curves(
        history, chance=results["chance"], chosen_step=results.get("step")
    )
    return _image(figure, "Loss and accuracy by epoch")


def _confusion(results: Mapping[str, Any]) -> dict[str, Any]:
    figure = plots.confusion(np.array(results["confusion"]), scenes=results["scenes"])
    return _image(figure, "Percentage of each true scene's recordings by predicted scene")


def _examples(
    folder: Path, run: Mapping[str, Any], results: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The recordings of examples.npz with their figures; none if a file for them is missing."""
    path = folder / "examples.npz"
    if not path.exists() or not (folder / "posteriors.npz").exists():
        return []
    shown = read_arrays(path, "recording", "log_mel")
    whole = read_posteriors(folder, results)
    front_end = run["front_end"]
    need(front_end, "hop_size_s", "sample_rate_hz", path=folder / "run.json")
    if np.any(shown["recording"] >= results["recordings"]):
        raise UserError(f"{path}: expected recordings of posteriors.npz, got others; {TEST_AGAIN}")
    return [
        _example(
            plots.LogMel(log_mel, front_end["hop_size_s"], front_end["sample_rate_hz"]),
            whole["posteriors"][index],
            name=str(whole["recording"][index]),
            true_scene=int(whole["label"][index]),
            results=results,
        )
        for index, log_mel in zip(shown["recording"], shown["log_mel"], strict=True)
    ]


def _example(
    log_mel: plots.LogMel,
    posteriors: np.ndarray,
    *,
    name: str,
    true_scene: int,
    results: Mapping[str, Any],
) -> dict[str, Any]:
    channels, scenes, by = results["channels"], results["scenes"], results["fusion"]
    channel = "average" if "average" in channels else channels[0]
    scores = fuse(posteriors[None], fragments=by["fragments"], channels=by["channels"])[0]
    figure = plots.fragments(
        log_mel,
        posteriors[channels.index(channel)],
        scores,
        scenes=scenes,
        true_scene=true_scene,
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
    return " \\\n  ".join(["python -m ascjax.main --config=configs/common.py", *flags])
