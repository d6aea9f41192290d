"""The main job: from a config to a run folder with a trained, tested network."""

from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax import setup as setups
from ascjax.compute import processes
from ascjax.data import normalisation
from ascjax.data.batches import Fragments
from ascjax.errors import UserError
from ascjax.files import exclusive
from ascjax.runs import teacher, testing
from ascjax.runs.description import describe
from ascjax.runs.folder import begin, check_workdir, read_run
from ascjax.runs.following import Following, follow
from ascjax.runs.info import RunInfo
from ascjax.runs.predictor import Classifier
from ascjax.runs.run import Run
from ascjax.setup import Data, Setup
from ascjax.setup import network as builders
from ascjax.setup.keys import keyed
from ascjax.setup.network import Networks
from ascjax.signals import Busy, StopRequest
from ascjax.training.arrays import DamagedCheckpoint
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.evaluator import Evaluator, validation_numbers
from ascjax.training.journal import NoLog, TrainingLog
from ascjax.training.loop import Schedule, Trainer
from ascjax.training.step import StepConfig, StepInputs, TrainState, initial_state

Report = Callable[[Run], Any]
T = TypeVar("T")

# Where a stop has nothing to save it may wait longer for what can be kept.
_PATIENCE_S = 7.0


def train(
    config: ConfigDict,
    workdir: Path,
    report: Report = lambda _: None,
    *,
    parameter_table: bool = False,
) -> Run | None:
    """Trains a network and, unless the protocol is ``all``, tests it.

    Called again with the same config and folder it resumes; a finished run is only reported again.

    Args:
      config: a whole config, see configs/common.py.
      workdir: the run folder: new, empty, or that of the same config.
      report: called with the finished run, under its lock.
      parameter_table: print the shape and statistics of each parameter before training.

    Returns:
      The run; None in every process but the first of several, which alone has the folder.

    Raises:
      UserError: a mistake in the config, the data or the folder.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    setups.check(config)
    setups.devices(config)
    first = processes.first()
    if first:
        check_workdir(workdir, config.to_dict())
    if not processes.from_first((workdir / "results.json").exists()):
        setups.check_root(config)
        setups.weights_file(config)  # names missing weights before the data set is read
        follow(config)  # and a run that can't be followed
    alone = exclusive(workdir, "training") if first else nullcontext()
    with alone, StopRequest(processes.agree) as stop:
        run: Run | None
        if not processes.from_first((workdir / "results.json").exists()):
            run = _train_and_test(config, workdir, stop, parameter_table)
        else:
            run = Run.open(workdir) if first else None
        if run is not None:
            report(run)
    return run


@dataclass(frozen=True)
class _Prepared:
    """All that a training begins with."""

    setup: Setup
    data: Data
    taught_by: Classifier | None
    followed: Following | None
    info: RunInfo
    networks: Networks
    schedule: Schedule
    step_config: StepConfig
    step_inputs: StepInputs
    evaluator: Evaluator
    state: TrainState


def _prepare(config: ConfigDict, workdir: Path, stop: StopRequest) -> _Prepared:
    setup = Setup(config, setups.survey(config, stop))
    setup.check()
    taught_by, followed = _teacher(setup), follow(config)
    leaks = setups.find_leaks(config, setup.survey, stop)
    resumed = (workdir / "run.json").exists()
    data = setup.extract(stop, read_run(workdir).left_out if resumed else None)
    num_scenes = len(data.dataset.scenes)
    networks = builders.networks(config, setup.weights_file, num_scenes, setup.input_shape)
    mean, deviation = np.zeros((2, data.store.log_mel.shape[2]), np.float32)
    if processes.first():
        mean, deviation = normalisation.mel_statistics(data.store.log_mel, data.train.indices)
    mean, deviation = processes.broadcast((mean, deviation))
    schedule = builders.schedule(config, len(data.train), followed and followed.run.epochs)
    step_config, step_inputs = builders.step(
        config, networks, schedule, num_scenes=num_scenes, mean=mean, deviation=deviation
    )
    evaluator = Evaluator(
        networks.evaluation, mean, deviation, setup.devices, config.eval.batch_size
    )
    info = describe(
        setup,
        data,
        networks,
        mean,
        deviation,
        leaks,
        teacher=taught_by.runs[0].results.model_sha256 if taught_by else "",
        followed=followed and followed.run,
    )
    _check_same(info)
    # Not to the bit the same on all processors.
    state = processes.broadcast(initial_state(step_config, networks.variables))
    return _Prepared(
        setup,
        data,
        taught_by,
        followed,
        info,
        networks,
        schedule,
        step_config,
        step_inputs,
        evaluator,
        state,
    )


def _check_same(info: RunInfo) -> None:
    """Raises UserError unless all processes train on the same."""
    what = {
        "recordings, scenes or parts": info.data.fingerprint,
        "unreadable recordings": info.left_out,
        "initial weights": info.initial_weights.sha256,
        "teacher": info.teacher,
        "run to follow": info.followed and info.followed.model_sha256,
    }
    for number, other in enumerate(processes.gather(what)):
        if differing := [name for name, value in other.items() if value != what[name]]:
            raise UserError(
                f"process {number} has other {' and '.join(differing)} than process "
                f"{processes.index()}; give all the same files"
            )


def _teacher(setup: Setup) -> Classifier | None:
    folder, listed, split = setup.config.train.teacher, setup.survey.dataset, setup.split
    if not folder:
        return None
    if setup.config.data.window_s:
        raise UserError(
            "config.train.teacher: a teacher scores whole recordings; leave either it or "
            "config.data.window_s out"
        )
    with keyed("train.teacher"):
        test = [listed.recordings[i] for i in split.test]
        return teacher.check(folder, listed.scenes, test, setup.config.data.fold)


def _train_and_test(
    config: ConfigDict, workdir: Path, stop: StopRequest, parameter_table: bool
) -> Run | None:
    made = _call(stop, "before training; features are kept", _prepare, config, workdir, stop)
    setup, data, evaluator, schedule = made.setup, made.data, made.evaluator, made.schedule
    first = processes.first()
    info = begin(workdir, config.to_dict(), made.info) if first else made.info
    if made.taught_by:
        part = [data.dataset.recordings[index] for index in data.train.indices]
        targets = np.zeros((len(part), len(data.dataset.scenes)), np.float32)
        where = "while the teacher scored the training part"
        if first:
            targets = _call(stop, where, teacher.scores, made.taught_by, part, workdir, stop)
        targets = _call(stop, where, processes.broadcast, targets)
        data = replace(data, train=replace(data.train, targets=targets))
    checkpoints = Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep)
    with closing(checkpoints):
        state = made.state
        latest = checkpoints.resume(state)
        if latest is None:
            _log_setup(info, data)
            if parameter_table:
                tqdm.write(parameter_overview.get_parameter_overview(made.networks.variables))
        else:
            step, state = latest
            tqdm.write(f"resuming at step {step} of {schedule.num_steps} in {workdir}")
        log: TrainingLog = NoLog()
        if first:
            log = TrainingLog(
                workdir,
                step=int(state.step),
                num_steps=schedule.num_steps,
                steps_per_epoch=schedule.steps_per_epoch,
                batch_size=schedule.batch_size,
            )
        validate = None
        if data.validation is not None:
            validate = partial(_validate, evaluator, data, data.validation, setup, stop)
        with closing(log):
            trainer = Trainer(
                made.step_config,
                made.step_inputs,
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
            state = _restore_best(checkpoints, best, state)
    if made.followed is not None:
        calibration = made.followed.calibration
        return testing.keep(state, info, calibration, workdir) if first else None
    where = "while testing; training is done and saved"
    return _call(stop, where, testing.test, setup, data, evaluator, state, info, workdir, stop)


def _restore_best(checkpoints: Checkpoints, step: int, like: TrainState) -> TrainState:
    try:
        return checkpoints.restore(step, like)
    except DamagedCheckpoint as error:
        raise UserError(
            f"{error}, and no other epoch is as good; remove {checkpoints.path} to train the run "
            "again, to the same result"
        ) from None


def _call(stop: StopRequest, where: str, function: Callable[..., T], *args: Any) -> T:
    """Calls a function; raises Stopped(``where``) if a stop can't wait for it."""
    try:
        return stop.call(function, *args, patience_s=_PATIENCE_S)
    except Busy:
        stop.check(where)
        raise


def _validate(
    evaluator: Evaluator,
    data: Data,
    part: Fragments,
    setup: Setup,
    stop: StopRequest,
    replicated: Any,
) -> dict[str, float]:
    held_out = testing.evaluate(data, part, evaluator, replicated, stop)
    return validation_numbers(held_out.posteriors, held_out.labels, asdict(setup.fusion))


def _log_setup(info: RunInfo, data: Data) -> None:
    """Logs network, data set, splits and fragments."""
    model, counts = info.model, info.recordings
    tqdm.write(
        f"{model.trunk}, head {model.head}: {model.parameters:,} parameters, "
        f"{model.flops_per_recording / 1e9:,.2f} GFLOP a {info.unit}, "
        f"from {info.initial_weights.weights} weights"
    )
    tqdm.write(
        f"{info.data.root} ({info.data.layout}): {counts.train:,} training, "
        f"{counts.validation:,} validation and {counts.test:,} test recordings of "
        f"{info.duration_s:g} s, {len(info.scenes)} scenes, channels {', '.join(info.channels)}, "
        f"N_s = {info.fragments}, {data.train.num_frames} frames a fragment"
    )
