"""The main job: from recordings to a run folder with results and a report."""

import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict
from tqdm import tqdm

import ascjax
from ascjax.compute.devices import peak_memory_gb, replicate
from ascjax.data import synthetic
from ascjax.data.batches import Fragments
from ascjax.data.normalisation import mel_statistics
from ascjax.files import exclusive, write_json
from ascjax.models import cost
from ascjax.report import report
from ascjax.runs import folder
from ascjax.scoring import fusion, metrics
from ascjax.setup import builders
from ascjax.signals import StopRequest
from ascjax.training import loop
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.evaluator import Evaluator, score
from ascjax.training.journal import Journal, read_history
from ascjax.training.step import Recipe, initial_state, variables


def train_and_evaluate(config: ConfigDict, workdir: Path) -> Path:
    """Trains, evaluates and reports.

    Started again with the same config and folder it goes on where it was; a finished run is only
    reported again.

    Returns:
      The path of report.html.

    Raises:
      UserError: something the user can mend.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    builders.check(config)
    over = builders.devices(config)
    folder.check(workdir, config.to_dict())
    if (workdir / "results.json").exists():
        return report.write(workdir)
    # Missing weights are named now and not after features were extracted.
    builders.find_weights(config)
    with exclusive(workdir, "training"), StopRequest() as stop:
        found = builders.survey(config, stop)
        # What can't work is said before the long work of extraction.
        found.input_shape(config)
        found.check_batch(config)
        data = builders.load_data(config, found, stop)
        num_scenes = len(data.dataset.scenes)
        input_shape = (data.store.front_end.num_mels, data.train.num_frames)
        networks = builders.build_networks(config, num_scenes=num_scenes, input_shape=input_shape)
        mean, deviation = mel_statistics(data.store.log_mel, data.train.rows)
        plan = builders.build_plan(config, data.train)
        recipe = builders.build_recipe(
            config, networks, plan, num_scenes=num_scenes, mean=mean, deviation=deviation
        )
        evaluator = Evaluator(networks.evaluation, mean, deviation, over, config.eval.batch_size)
        folder.begin(workdir, config.to_dict(), _describe(config, data, networks, recipe))
        checkpoints = Checkpoints(
            workdir / "checkpoints",
            keep=config.checkpoint.keep,
            ranked=data.validation is not None,
        )
        state = initial_state(recipe, networks.variables)
        latest = checkpoints.latest()
        if latest is None:
            _introduce(data, networks)
        else:
            state = checkpoints.restore(latest, state)
            tqdm.write(f"going on at step {latest} of {plan.num_steps} in {workdir}")
        journal = Journal(
            workdir,
            step=int(state.step),
            num_steps=plan.num_steps,
            fragments_per_step=plan.batch_size,
        )
        validate = None
        if data.validation is not None:
            validate = partial(_validate, evaluator, data.validation, config.fusion)
        with closing(journal):
            trainer = loop.Trainer(recipe, plan, over, validate, checkpoints, journal, stop)
            state = trainer.fit(state)
        best = checkpoints.best()
        if best is not None and best != int(state.step):
            state = checkpoints.restore(best, state)
        checkpoints.close()
        tested = replicate(variables(state), over)
        started = time.perf_counter()
        values = evaluator(tested, data.test, describe="test", stop=stop)
        test_s = time.perf_counter() - started
    _write_results(config, workdir, data, values, step=int(state.step), test_s=test_s)
    return report.write(workdir)


def _validate(
    evaluator: Evaluator, part: Fragments, by: ConfigDict, variables: Any
) -> dict[str, float]:
    values = evaluator(variables, part)
    return score(values, part.labels, fragment_fusion=by.fragments, channel_fusion=by.channels)


def _introduce(data: builders.Data, networks: builders.Networks) -> None:
    """Says what is about to be trained on what."""
    counts = [len(p.rows) if p else 0 for p in (data.train, data.validation, data.test)]
    tqdm.write(parameter_overview.get_parameter_overview(networks.variables))
    tqdm.write(
        f"{data.dataset.root} ({data.dataset.layout}): {counts[0]} training, {counts[1]} "
        f"validation and {counts[2]} test recordings of {data.duration_s:g} s, "
        f"{len(data.dataset.scenes)} scenes, channels {', '.join(data.store.channels)}, "
        f"{data.train.count} fragments of {data.train.num_frames} frames each"
    )


def _describe(
    config: ConfigDict, data: builders.Data, networks: builders.Networks, recipe: Recipe
) -> dict[str, Any]:
    """Returns run.json: with a checkpoint, all that prediction needs."""
    params = jax.tree.leaves(networks.variables["params"])
    input_shape = (data.store.front_end.num_mels, data.train.num_frames)
    examples_per_recording = len(data.store.channels) * data.train.count
    return {
        "format": folder.FORMAT,
        "ascjax": ascjax.__version__,
        "scenes": list(data.dataset.scenes),
        "channels": list(data.store.channels),
        "fragments": data.train.count,
        "duration_s": data.duration_s,
        "front_end": data.store.front_end.to_dict(),
        "normalisation": {
            "mean": recipe.given.mean.tolist(),
            "deviation": recipe.given.deviation.tolist(),
        },
        "model": {
            **config.model.to_dict(),
            "parameters": sum(p.size for p in params),
            "flops_per_recording": examples_per_recording
            * cost.of_example(networks.evaluation, input_shape),
        },
        "fusion": config.fusion.to_dict(),
        "protocol": config.protocol,
        "recordings": {
            "train": len(data.train.rows),
            "validation": 0 if data.validation is None else len(data.validation.rows),
            "test": len(data.test.rows),
        },
        "left_out": data.store.bad,
        "data": {
            "root": str(data.dataset.root),
            "layout": data.dataset.layout,
            "fold": config.data.fold,
        },
        "synthetic": synthetic.is_set(data.dataset.root),
    }


def _write_results(
    config: ConfigDict,
    workdir: Path,
    data: builders.Data,
    values: np.ndarray,
    *,
    step: int,
    test_s: float,
) -> None:
    tested = [data.dataset.recordings[row] for row in data.test.rows]
    names = [recording.name for recording in tested]
    cities = [recording.city for recording in tested]
    np.savez(
        workdir / "posteriors.npz",
        posteriors=values,
        label=data.test.labels,
        recording=names,
        location=[recording.location for recording in tested],
        city=cities,
        scenes=list(data.dataset.scenes),
        channels=list(data.store.channels),
    )
    results = metrics.summarise(
        values,
        data.test.labels,
        names=names,
        scenes=data.dataset.scenes,
        channels=data.store.channels,
        cities=cities if any(cities) else None,
        fragment_fusion=config.fusion.fragments,
        channel_fusion=config.fusion.channels,
    )
    _write_examples(workdir, data, fusion.fuse(values, **config.fusion.to_dict()))
    epochs = read_history(workdir / "metrics.jsonl")
    seconds = {"train": sum(epoch["seconds"] for epoch in epochs), "test": test_s}
    peak_gb = peak_memory_gb()
    about = {"part": "test", "step": step, "seconds": seconds, "peak_memory_gb": peak_gb}
    # Comes last: where it is, the run is finished.
    write_json(workdir / "results.json", {**about, **results})


def _write_examples(workdir: Path, data: builders.Data, scores: np.ndarray) -> None:
    """Keeps the log-mels of one right and one wrong recording, the most confident of each."""
    right = scores.argmax(-1) == data.test.labels
    confident = np.argsort(-scores.max(-1))
    chosen = [next((i for i in confident if right[i] == wanted), None) for wanted in (True, False)]
    indices = np.array([i for i in chosen if i is not None], np.int64)
    channels = data.store.channels
    channel = channels.index("average") if "average" in channels else 0
    np.savez(
        workdir / "examples.npz",
        recording=indices,
        log_mel=np.stack([data.store.log_mel[data.test.rows[i], channel] for i in indices]),
    )
