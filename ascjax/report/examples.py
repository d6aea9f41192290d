"""The recordings that a report shows: log-mel, posteriors of its fragments, what carried it."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ascjax.errors import UserError
from ascjax.files import TEST_AGAIN, read_arrays
from ascjax.report import plots
from ascjax.report.image import Image
from ascjax.runs.run import Run
from ascjax.scoring.fusion import fuse


@dataclass(frozen=True)
class Example:
    """A recording shown: its name, scenes with fused scores in 0..1, and figures.

    Attributes:
      channel: that of the log-mel.
      fragments: figure of the log-mel and its fragments' posteriors.
      occlusion: figure of the occlusion map; None where the run has none.
    """

    name: str
    channel: str
    true: str
    predicted: str
    true_score: float
    predicted_score: float
    fragments: Image
    occlusion: Image | None


def examples(run: Run) -> list[Example]:
    """Returns the recordings of examples.npz; none if that file or posteriors.npz is missing.

    Raises:
      UserError: one of them is damaged, or they don't fit each other.
    """
    path = run.path / "examples.npz"
    if not path.exists() or not (run.path / "posteriors.npz").exists():
        return []
    stored = read_arrays(path, "recording", "log_mel")
    if np.any(stored["recording"] >= run.results.recordings):
        raise UserError(f"{path}: expected recordings of posteriors.npz, got others; {TEST_AGAIN}")
    maps = _occlusion_maps(path, len(stored["recording"]))
    front_end = run.front_end
    hop_size_s = front_end.hop_length / front_end.sample_rate_hz
    return [
        _example(
            run,
            index,
            plots.LogMel(values, hop_size_s, front_end.sample_rate_hz, plots.unit(front_end)),
            drops,
        )
        for index, values, drops in zip(
            stored["recording"].tolist(), stored["log_mel"], maps, strict=True
        )
    ]


def _occlusion_maps(path: Path, count: int) -> Sequence[np.ndarray | None]:
    """Returns the occlusion map of each example, or None for each where the run made none."""
    with zipfile.ZipFile(path) as archive:
        if "occlusion.npy" not in archive.namelist():
            return [None] * count
    return list(read_arrays(path, "occlusion")["occlusion"])


def _example(run: Run, index: int, log_mel: plots.LogMel, drops: np.ndarray | None) -> Example:
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
    occlusion = None
    if drops is not None:
        occlusion = Image.of(
            plots.occlusion(log_mel, drops), f"Loss of score as parts of {name} are hidden"
        )
    return Example(
        name=name,
        channel=channel,
        true=scenes[true_scene],
        predicted=scenes[scores.argmax()],
        true_score=float(scores[true_scene]),
        predicted_score=float(scores.max()),
        fragments=Image.of(figure, f"Log-mel of {name} and the posteriors of its fragments"),
        occlusion=occlusion,
    )
