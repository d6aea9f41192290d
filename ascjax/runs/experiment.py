"""The main job: from a config to a run folder with a trained, tested network."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from clu import parameter_overview
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax import setup as setups
from ascjax.data import normalisation
from ascjax.data.batches import Fragments
from ascjax.files import exclusive
from ascjax.runs import testing
from ascjax.runs.description import describe
from ascjax.runs.folder import begin, check_workdir
from ascjax.runs.following import follow
from ascjax.runs.info import RunInfo
from ascjax.runs.run import Run
from ascjax.setup import Data, Setup
from ascjax.setup import network as builders
from ascjax.signals import StopRequest
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.evaluator import Evaluator, validation_numbers
from ascjax.training.journal import TrainingLog
from ascjax.training.loop import Trainer
from ascjax.training.step import initial_state

Report = Callable[[Run], Any]


def train(
    config: ConfigDict,
    workdir: Path,
    report: Report = lambda _: None,
    *,
    parameter_table: bool = False,
) -> Run:
    """Trains a network and, unless the protocol is ``all``, tests it.

    Called again with the same config and folder it resumes; a finished run is only reported again.

    Args:
      config: a whole config, see configs/common.py.
      workdir: the run folder: new, empty, or that of the same config.
      report: called with the finished run, under its lock.
      parameter_table: print the shape and statistics of each parameter before training.

    Raises:
      UserError: a mistake in the config, the data or the folder.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    setups.check(config)
    setups.devices(config)
    check_workdir(workdir, config.to_dict())
    if not (workdir / "results.json").exists():
        setups.check_root(config)
        setups.weights_file(config)  # names missing weights before the data set is read
        follow(config)  # and a run that can't be followed
    with exclusive(workdir, "training"), StopRequest() as stop:
        if (workdir / "results.json").exists():
            run = Run.open(workdir)
        else:
            setup = Setup(config, setups.survey(config, stop))
            setup.check()
            run = _train_and_test(setup, workdir, stop, parameter_table)
        report(run)
    return run


def _train_and_test(setup: Setup, workdir: Path, stop: StopRequest, parameter_table: bool) -> Run:
    config, data, followed = setup.config, setup.extract(stop), follow(setup.config)
    networks = builders.networks(
        config, setup.weights_file, len(data.dataset.scenes), setup.input_shape
    )
    mean, deviation = normalisation.mel_statistics(data.store.log_mel, data.train.indices)
    schedule = builders.schedule(config, len(data.train), followed and followed.run.epochs)
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
    info = describe(setup, data, networks, mean, deviation, followed and followed.run)
    info = begin(workdir, config.to_dict(), info)
    checkpoints = Checkpoints(
        workdir / "checkpoints", keep=config.checkpoint.keep, ranked=data.validation is not None
    )
    with closing(checkpoints):
        state = initial_state(step_config, networks.variables)
        latest = checkpoints.latest()
        if latest is None:
            _log_setup(info, data)
            if parameter_table:
                tqdm.write(parameter_overview.get_parameter_overview(networks.variables))
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
    if followed is not None:
        return testing.keep(state, info, followed.calibration, workdir)
    return testing.test(setup, data, evaluator, state, info, workdir, stop)


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
