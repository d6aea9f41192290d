"""A run folder → a predictor of any recordings, without the data set or a config file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Float32
from ml_collections import ConfigDict

from ascjax.audio.logmel import FrontEnd
from ascjax.audio.wave import BadRecording
from ascjax.compute.devices import local_devices, replicate
from ascjax.data import extract
from ascjax.data.batches import Fragments
from ascjax.data.fragments import layout
from ascjax.files import need, read_json
from ascjax.runs.folder import read_results, read_run
from ascjax.scoring.fusion import fuse
from ascjax.setup import builders
from ascjax.training import checkpoints
from ascjax.training.evaluator import Evaluator

# So many log-mels are held in memory.
RECORDINGS_AT_ONCE = 64


@dataclass(frozen=True)
class Predictor:
    """A trained network with all that it takes to apply it; made by ``load``.

    Attributes:
      scenes: in the order of posteriors and scores.
      channels: in the order of posteriors.
      fragments: N_s, with ``overlap`` as in ``Fragments``.
      overlap: share of a fragment that lies in the next one as well.
      fusion: keyword arguments of ``fusion.fuse``.
      job: how a file becomes log-mels.
      evaluator: log-mels → posteriors.
      variables: the network's, replicated over the evaluator's devices.
    """

    scenes: tuple[str, ...]
    channels: tuple[str, ...]
    fragments: int
    overlap: float
    fusion: dict[str, str]
    job: extract.Job
    evaluator: Evaluator
    variables: Any

    def scores(self, paths: Sequence[Path]) -> Float[np.ndarray, "recording scene"]:
        """Returns the scores of audio files, fused as in the run; raises as ``each``."""
        return fuse(np.stack([posteriors for _, posteriors in self.each(paths)]), **self.fusion)

    def each(
        self, paths: Sequence[Path], bad: list[BadRecording] | None = None
    ) -> Iterator[tuple[Path, Float32[np.ndarray, "channel fragment scene"]]]:
        """Yields audio files with their posteriors, reading some ahead.

        Files of another rate are resampled. As in training, the first seconds count; a file that is
        shorter, however short, is repeated to fill them.

        Args:
          paths: the files.
          bad: takes the errors of files that can't be read, which are left out.

        Raises:
          BadRecording: a file can't be read, and ``bad`` is None.
        """
        for start in range(0, len(paths), RECORDINGS_AT_ONCE):
            read, log_mels = [], []
            for path in paths[start : start + RECORDINGS_AT_ONCE]:
                try:
                    log_mels.append(extract.log_mels(path, self.job))
                    read.append(path)
                except BadRecording as error:
                    if bad is None:
                        raise
                    bad.append(error)
            if read:
                rows = np.arange(len(read))
                labels = np.zeros_like(rows)  # unknown, and not used
                cutting = (self.fragments, self.overlap)
                part = Fragments(np.stack(log_mels), rows, labels, *cutting)
                yield from zip(read, self.evaluator(self.variables, part), strict=True)


def load(run_dir: str | os.PathLike[str], *, fragments: int | None = None) -> Predictor:
    """Restores the network of a finished run, at the step that was tested, on one device.

    Args:
      run_dir: the run folder; nothing is written there.
      fragments: N_s, if not the run's own.

    Raises:
      UserError: the run isn't finished, is damaged or of another format, or its trunk needs more
        frames than such a fragment has.
    """
    folder = Path(run_dir)
    results = read_results(folder)
    run = read_run(folder)
    config = read_json(folder / "config.json", required=("model", "init", "fragments"))
    keys = ("count", "overlap")
    need(config["fragments"], *keys, path=folder / "config.json")
    settings = ConfigDict(config)
    settings.fragments.count = fragments or settings.fragments.count

    front_end = FrontEnd(**run["front_end"])
    num_samples = round(run["duration_s"] * front_end.sample_rate_hz)
    count, overlap = builders.cutting(settings)
    width, _ = layout(front_end.num_frames(num_samples), count, overlap)
    network = builders.build_network(settings, num_scenes=len(run["scenes"]))
    example = jax.ShapeDtypeStruct((1, front_end.num_mels, width, 1), np.float32)
    shapes = jax.eval_shape(partial(network.init, train=False), jax.random.key(0), example)
    variables = checkpoints.read(folder / "checkpoints" / str(results["step"]), shapes)

    over = local_devices(1)
    mean, deviation = (
        np.array(run["normalisation"][name], np.float32) for name in ("mean", "deviation")
    )
    job = extract.Job(
        path=Path(os.devnull),  # no store is written
        front_end=front_end,
        channels=tuple(run["channels"]),
        num_samples=num_samples,
        min_duration_share=0.0,
    )
    return Predictor(
        scenes=tuple(run["scenes"]),
        channels=tuple(run["channels"]),
        fragments=count,
        overlap=overlap,
        fusion=run["fusion"],
        job=job,
        # A recording a step: however many there are, nothing is padded.
        evaluator=Evaluator(network, mean, deviation, over, len(run["channels"]) * count),
        variables=replicate(variables, over),
    )
