"""Tests a trained network and writes what a finished run keeps."""

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ascjax import records
from ascjax.compute import processes
from ascjax.compute.devices import local, peak_memory_gb, replicate
from ascjax.data import cutting
from ascjax.data.batches import Fragments
from ascjax.data.listing import Recording
from ascjax.files import write_arrays
from ascjax.models import variables as saved_variables
from ascjax.runs import novelty
from ascjax.runs.folder import UNTESTED, RunResults, Seconds, TestPosteriors, Trained
from ascjax.runs.info import RunInfo
from ascjax.runs.network import MODEL_FILE, TrainedNetwork
from ascjax.runs.run import Run
from ascjax.scoring import open_set
from ascjax.scoring.calibration import Calibration, temper
from ascjax.scoring.fusion import fuse
from ascjax.scoring.occlusion import occlusion
from ascjax.scoring.results import Results, score
from ascjax.setup import Data, Setup
from ascjax.signals import StopRequest
from ascjax.training.evaluator import Evaluator
from ascjax.training.journal import read_history
from ascjax.training.step import TrainState, variables

# Parts of a log-mel whose weight in a decision is shown, along mel and time.
BANDS, SLICES = 8, 12


@dataclass(frozen=True)
class Evaluated:
    """Posteriors of a part's recordings, the mean over windows where these were cut."""

    posteriors: np.ndarray
    labels: np.ndarray
    recordings: list[Recording]
    stored: np.ndarray  # [recording], its first window's index in the store


def evaluate(
    data: Data,
    part: Fragments,
    evaluator: Evaluator,
    replicated: Any,
    stop: StopRequest,
    name: str | None = None,
) -> Evaluated:
    """Returns the posteriors of a part's recordings; ``name`` labels a progress bar."""
    recordings, groups = cutting.group([data.dataset.recordings[i] for i in part.indices])
    first = np.unique(groups, return_index=True)[1]
    posteriors = evaluator(replicated, part, describe=name, stop=stop)
    averaged = cutting.average(posteriors, groups)
    return Evaluated(averaged, part.labels[first], recordings, part.indices[first])


def test(
    setup: Setup,
    data: Data,
    evaluator: Evaluator,
    state: TrainState,
    info: RunInfo,
    workdir: Path,
    stop: StopRequest,
) -> Run | None:
    """Tests a state and writes posteriors, examples, the model and results.

    Of several processes all compute posteriors, and the first alone does the rest.
    """
    replicated = replicate(variables(state), setup.devices)
    started = time.perf_counter()
    tested = evaluate(data, data.test, evaluator, replicated, stop, "test")
    test_s = time.perf_counter() - started
    held_out = None
    if data.validation is not None:
        held_out = evaluate(data, data.validation, evaluator, replicated, stop, "calibrate")
    others = [
        evaluate(data, part, evaluator, replicated, stop, "unknown") for part in data.unknown or ()
    ]
    if not processes.first():
        return None
    if processes.count() > 1:
        evaluator = replace(
            evaluator,
            devices=local(setup.devices),
            batch_size=evaluator.batch_size // processes.count(),
        )
        replicated = replicate(variables(state), evaluator.devices)
    stored = TestPosteriors(
        posteriors=tested.posteriors,
        label=tested.labels,
        recording=np.array([each.name for each in tested.recordings]),
        location=np.array([each.location for each in tested.recordings]),
        city=np.array([each.city for each in tested.recordings]),
        device=np.array([each.device for each in tested.recordings]),
        unknown=others[1].posteriors if others else None,
    )
    write_arrays(workdir / "posteriors.npz", **stored.arrays)
    results = score(
        tested.posteriors,
        tested.labels,
        names=stored.recording.tolist(),
        scenes=data.dataset.scenes,
        channels=setup.channels,
        cities=stored.city.tolist(),
        devices=stored.device.tolist(),
        locations=stored.location.tolist(),
        trained_devices=info.devices,
        by=setup.fusion,
    )
    path = workdir / "examples.npz"
    _write_examples(setup, data, tested, results, evaluator, replicated, path)
    calibration = opened = None
    if held_out is not None:
        scores = fuse(held_out.posteriors, **asdict(setup.fusion))
        calibration = Calibration.fit(scores, held_out.labels)
        if others:
            held, test_scores, fitted, measured = (
                temper(fuse(each.posteriors, **asdict(setup.fusion)), calibration.temperature)
                for each in (held_out, tested, *others)
            )
            threshold = open_set.fit_threshold(held, held_out.labels, fitted)
            opened = open_set.measure(test_scores, tested.labels, measured, threshold)
            calibration = replace(calibration, unknown=threshold)
    _fit_novelty(data, evaluator, variables(state), info, workdir)
    epochs = read_history(workdir / "metrics.jsonl")
    finished = RunResults(
        **{**vars(results), "open_set": opened},
        part="test",
        step=int(state.step),
        seconds=Seconds(sum(epoch["seconds"] for epoch in epochs), test_s),
        peak_memory_gb=peak_memory_gb(),
        model_sha256=saved_variables.save(workdir / MODEL_FILE, variables(state)),
        calibration=calibration,
    )
    # Comes last: where it is, the run is finished.
    records.write(workdir / "results.json", finished)
    return Run(workdir, info, finished, stored)


def keep(state: TrainState, info: RunInfo, calibration: Calibration, workdir: Path) -> Run:
    """Writes the model and results of a run without a test part."""
    epochs = read_history(workdir / "metrics.jsonl")
    finished = Trained(
        part=UNTESTED,
        step=int(state.step),
        seconds=Seconds(sum(epoch["seconds"] for epoch in epochs), 0.0),
        peak_memory_gb=peak_memory_gb(),
        model_sha256=saved_variables.save(workdir / MODEL_FILE, variables(state)),
        calibration=calibration,
    )
    records.write(workdir / "results.json", finished)
    return Run(workdir, info, finished)


def _write_examples(
    setup: Setup,
    data: Data,
    tested: Evaluated,
    results: Results,
    evaluator: Evaluator,
    replicated: Any,
    path: Path,
) -> None:
    """Keeps the log-mels of one right and one wrong recording, the most confident of each.

    With them goes the map of what the decision rests on, see `occlusion`.
    """
    right, confident = results.right, np.argsort(-np.array(results.decisions.score))
    chosen = [next((i for i in confident if right[i] == wanted), None) for wanted in (True, False)]
    indices = np.array([i for i in chosen if i is not None], np.int64)
    channel = setup.channels.index("average") if "average" in setup.channels else 0
    log_mels = np.stack([data.store.log_mel[tested.stored[i]] for i in indices])

    def score_of(scene: int, batch: np.ndarray) -> np.ndarray:
        rows = np.arange(len(batch))
        labels = np.zeros(len(batch), np.int32)  # not used
        part = Fragments(batch.astype(np.float32), rows, labels, data.test.count, data.test.overlap)
        return fuse(evaluator(replicated, part), **asdict(setup.fusion))[:, scene]

    scenes = [results.scenes.index(results.decisions.predicted[i]) for i in indices]
    _, mels, frames = log_mels[0].shape
    grid = {"bands": min(BANDS, mels), "slices": min(SLICES, frames)}
    maps = [
        occlusion(partial(score_of, scene), log_mel, np.asarray(evaluator.mean), **grid)
        for scene, log_mel in zip(scenes, log_mels, strict=True)
    ]
    write_arrays(path, recording=indices, log_mel=log_mels[:, channel], occlusion=np.stack(maps))


def _fit_novelty(
    data: Data, evaluator: Evaluator, trained: Any, info: RunInfo, workdir: Path
) -> None:
    """Writes novelty.npz if there is a validation part to set its threshold."""
    network = TrainedNetwork.of(
        info.model, len(info.scenes), trained, evaluator.mean, evaluator.deviation
    )
    model = novelty.fit(network, data.train, data.validation)
    if model is not None:
        novelty.write(workdir, model)
