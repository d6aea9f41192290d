"""The main job: from a config to a run folder with a trained, tested network."""

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax import records
from ascjax import setup as setups
from ascjax.compute.devices import peak_memory_gb, replicate
from ascjax.data import cutting, normalisation, synthetic
from ascjax.data.batches import Fragments
from ascjax.data.listing import Recording
from ascjax.files import exclusive, write_arrays
from ascjax.models import cost, weights
from ascjax.models import variables as saved_variables
from ascjax.runs import environment, novelty
from ascjax.runs.folder import (
    Counts,
    DataSource,
    InitialWeights,
    Model,
    Normalisation,
    RunInfo,
    RunResults,
    Seconds,
    TestPosteriors,
    begin,
    check_workdir,
    read_run,
)
from ascjax.runs.network import MODEL_FILE, TrainedNetwork
from ascjax.runs.run import Run
from ascjax.scoring.calibration import Calibration
from ascjax.scoring.fusion import fuse
from ascjax.scoring.occlusion import occlusion
from ascjax.scoring.results import Results, score
from ascjax.setup import Data, Setup
from ascjax.setup import network as builders
from ascjax.signals import StopRequest
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.evaluator import Evaluator, validation_numbers
from ascjax.training.journal import TrainingLog, read_history
from ascjax.training.loop import Trainer
from ascjax.training.step import TrainState, initial_state, variables

Report = Callable[[Path], Any]
# Parts of a log-mel whose weight in a decision is shown, along mel and time.
BANDS, SLICES = 8, 12


def train(config: ConfigDict, workdir: Path, report: Report = lambda _: None) -> Run:
    """Trains and tests a network.

    Called again with the same config and folder it resumes; a finished run is only reported again.

    Args:
      config: a whole config, see configs/common.py.
      workdir: the run folder: new, empty, or that of the same config.
      report: called with the finished run's folder, under its lock.

    Raises:
      UserError: a mistake in the config, the data or the folder.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    setups.check(config)
    setups.devices(config)
    check_workdir(workdir, config.to_dict())
    if not (workdir / "results.json").exists():
        setups.weights_file(config)  # names missing weights before the data set is read
    with exclusive(workdir, "training"), StopRequest() as stop:
        if not (workdir / "results.json").exists():
            setup = Setup(config, setups.survey(config, stop))
            setup.check()
            _train_and_test(setup, workdir, stop)
        report(workdir)
    return Run.open(workdir)


def _train_and_test(setup: Setup, workdir: Path, stop: StopRequest) -> None:
    config, data = setup.config, setup.extract(stop)
    networks = builders.networks(
        config, setup.weights_file, len(data.dataset.scenes), setup.input_shape
    )
    mean, deviation = normalisation.mel_statistics(data.store.log_mel, data.train.indices)
    schedule = builders.schedule(config, len(data.train))
    step_config, step_inputs = builders.step(
        config,
        networks,
        schedule,
        num_scenes=len(data.dataset.scenes),
        mean=mean,
        deviation=deviation,
    )
    evaluator = Evaluator(
        networks.evaluation, mean, deviation, setup.devices, config.eval.batch_size
    )
    info = _describe(setup, data, networks, mean, deviation)
    begin(workdir, config.to_dict(), info)
    checkpoints = Checkpoints(
        workdir / "checkpoints", keep=config.checkpoint.keep, ranked=data.validation is not None
    )
    with closing(checkpoints):
        state = initial_state(step_config, networks.variables)
        latest = checkpoints.latest()
        if latest is None:
            _log_setup(info, data)
        else:
            state = checkpoints.restore(latest, state)
            tqdm.write(f"resuming at step {latest} of {schedule.num_steps} in {workdir}")
        log = TrainingLog(
            workdir,
            step=int(state.step),
            num_steps=schedule.num_steps,
            steps_per_epoch=schedule.steps_per_epoch,
            batch_size=schedule.batch_size,
        )
        validate = None
        if data.validation is not None:
            validate = partial(_validate, evaluator, data.validation, setup)
        with closing(log):
            trainer = Trainer(
                step_config,
                step_inputs,
                schedule,
                data.train,
                setup.devices,
                validate,
                checkpoints,
                log,
                stop,
            )
            state = trainer.fit(state)
        best = checkpoints.best()
        if best is not None and best != int(state.step):
            state = checkpoints.restore(best, state)
    _test(setup, data, evaluator, state, workdir, stop)


def _validate(
    evaluator: Evaluator, part: Fragments, setup: Setup, replicated: Any
) -> dict[str, float]:
    return validation_numbers(evaluator(replicated, part), part.labels, asdict(setup.fusion))


def _log_setup(info: RunInfo, data: Data) -> None:
    """Logs network, data set, splits and fragments."""
    model, counts = info.model, info.recordings
    tqdm.write(
        f"{model.trunk}, head {model.head}: {model.parameters:,} parameters, "
        f"{model.flops_per_recording / 1e9:,.2f} GFLOP a recording, "
        f"from {info.initial_weights.weights} weights"
    )
    tqdm.write(
        f"{info.data.root} ({info.data.layout}): {counts.train:,} training, "
        f"{counts.validation:,} validation and {counts.test:,} test recordings of "
        f"{info.duration_s:g} s, {len(info.scenes)} scenes, channels {', '.join(info.channels)}, "
        f"N_s = {info.fragments}, {data.train.num_frames} frames a fragment"
    )


def _describe(
    setup: Setup,
    data: Data,
    networks: builders.Networks,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> RunInfo:
    """Returns run.json: with a checkpoint, all that prediction needs."""
    config, listed = setup.config, data.dataset
    params = jax.tree.leaves(networks.variables["params"])
    settings = builders.model_settings(config)
    del settings["convolutions"]  # how it is computed, not what
    fragments_per_recording = len(setup.channels) * data.train.count
    flops = fragments_per_recording * cost.of_example(networks.evaluation, setup.input_shape)
    validation = 0 if data.validation is None else len(data.validation.indices)
    return RunInfo(
        scenes=listed.scenes,
        channels=setup.channels,
        fragments=data.train.count,
        overlap=data.train.overlap,
        duration_s=setup.survey.duration_s,
        front_end=setup.front_end.to_dict(),
        normalisation=Normalisation(tuple(mean.tolist()), tuple(deviation.tolist())),
        model=Model(
            **settings,
            parameters=sum(p.size for p in params),
            flops_per_recording=flops,
        ),
        fusion=setup.fusion,
        protocol=config.protocol,
        recordings=Counts(len(data.train.indices), validation, len(data.test.indices)),
        left_out=data.store.bad,
        data=DataSource(
            root=str(listed.root),
            layout=listed.layout,
            fold=config.data.fold,
            split=config.data.split,
            fingerprint=data.fingerprint,
            synthetic=synthetic.is_set(listed.root),
        ),
        initial_weights=_initial_weights(setup.weights_file),
        environment=environment.describe([device.device_kind for device in setup.devices]),
    )


def _initial_weights(file: Path | None) -> InitialWeights:
    if file is None:
        return InitialWeights("random", None, {})
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return InitialWeights(str(file), sha256, dict(weights.load(file).metadata))


@dataclass(frozen=True)
class _Evaluated:
    """Posteriors of a part's recordings, the mean over windows where these were cut."""

    posteriors: np.ndarray
    labels: np.ndarray
    recordings: list[Recording]
    stored: np.ndarray  # [recording], its first window's index in the store


def _evaluate(
    data: Data, part: Fragments, evaluator: Evaluator, replicated: Any, stop: StopRequest, name: str
) -> _Evaluated:
    recordings, groups = cutting.group([data.dataset.recordings[i] for i in part.indices])
    first = np.unique(groups, return_index=True)[1]
    posteriors = evaluator(replicated, part, describe=name, stop=stop)
    averaged = cutting.average(posteriors, groups)
    return _Evaluated(averaged, part.labels[first], recordings, part.indices[first])


def _test(
    setup: Setup,
    data: Data,
    evaluator: Evaluator,
    state: TrainState,
    workdir: Path,
    stop: StopRequest,
) -> None:
    """Tests a state and writes posteriors, examples, the model and results."""
    replicated = replicate(variables(state), setup.devices)
    started = time.perf_counter()
    tested = _evaluate(data, data.test, evaluator, replicated, stop, "test")
    test_s = time.perf_counter() - started
    stored = TestPosteriors(
        posteriors=tested.posteriors,
        label=tested.labels,
        recording=np.array([each.name for each in tested.recordings]),
        location=np.array([each.location for each in tested.recordings]),
        city=np.array([each.city for each in tested.recordings]),
        device=np.array([each.device for each in tested.recordings]),
    )
    write_arrays(workdir / "posteriors.npz", **vars(stored))
    results = score(
        tested.posteriors,
        tested.labels,
        names=stored.recording.tolist(),
        scenes=data.dataset.scenes,
        channels=setup.channels,
        cities=stored.city.tolist(),
        devices=stored.device.tolist(),
        by=setup.fusion,
    )
    path = workdir / "examples.npz"
    _write_examples(setup, data, tested, results, evaluator, replicated, path)
    calibration = None
    if data.validation is not None:
        held_out = _evaluate(data, data.validation, evaluator, replicated, stop, "calibrate")
        scores = fuse(held_out.posteriors, **asdict(setup.fusion))
        calibration = Calibration.fit(scores, held_out.labels)
    _fit_novelty(data, evaluator, variables(state), read_run(workdir), workdir)
    epochs = read_history(workdir / "metrics.jsonl")
    finished = RunResults(
        **vars(results),
        part="test",
        step=int(state.step),
        seconds=Seconds(sum(epoch["seconds"] for epoch in epochs), test_s),
        peak_memory_gb=peak_memory_gb(),
        model_sha256=saved_variables.save(workdir / MODEL_FILE, variables(state)),
        calibration=calibration,
    )
    # Comes last: where it is, the run is finished.
    records.write(workdir / "results.json", finished)


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


def _write_examples(
    setup: Setup,
    data: Data,
    tested: _Evaluated,
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
