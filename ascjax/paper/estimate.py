"""Time that the runs of a sweep will take: operations left over a measured pace."""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp

from ascjax.compute.devices import local_devices, pmap
from ascjax.models import cost
from ascjax.paper.plan import Entry
from ascjax.runs.folder import read_run
from ascjax.runs.folds import PlannedRun
from ascjax.setup import Setup, Survey
from ascjax.setup.network import evaluation_network
from ascjax.training.journal import read_history
from ascjax.words import aligned, duration

# Training on a fragment beside an evaluation: gradients of inputs and of kernels are two more.
TRAINING_FACTOR = 3


def listing(entries: Mapping[str, Entry], survey: Survey | None) -> str:
    """Returns the runs with their states and the time they will take, and the sum.

    ``survey`` is that of their data set; finished runs need none.
    """
    paces = {entry.config.model.trunk: pace for entry in entries.values() for pace in _paces(entry)}
    sources = dict.fromkeys(paces, "as measured by finished runs here")
    lines, total_s = [("run", "time", "state")], 0.0
    for name, entry in entries.items():
        if entry.impossible:
            lines.append((name, "", f"can't exist: {entry.impossible}"))
        states = [_state(run) for run in entry.runs]
        whole_s = 0.0
        if survey and any(share_left for _, share_left in states):
            trunk, setup = entry.config.model.trunk, Setup(entry.config, survey)
            network = evaluation_network(entry.config, len(survey.dataset.scenes))
            if trunk not in paces:
                paces[trunk] = measure_pace(network, setup.input_shape)
                sources[trunk] = "as one evaluation step took now, on one device"
            flops = num_evaluations(setup) * cost.of_example(network, setup.input_shape)
            whole_s = flops / paces[trunk]
        for run, (state, share_left) in zip(entry.runs, states, strict=True):
            lacking = f"; lacks weights: {entry.lacking}" if entry.lacking and share_left else ""
            lines.append(
                (run.name, duration(share_left * whole_s) if whole_s else "", state + lacking)
            )
            total_s += share_left * whole_s
    num_runs = sum(len(entry.runs) for entry in entries.values())
    num_left = sum(bool(seconds) for _, seconds, _ in lines[1:])
    return "\n".join(
        [
            aligned(lines, num_numbers=1),
            "",
            f"{num_left} of {num_runs} runs are left, about {duration(total_s)} without "
            "extraction and compilation" + ", by pace of" * bool(paces),
            *(
                f"  {trunk}: {pace / 1e9:,.1f} GFLOP/s, {sources[trunk]}"
                for trunk, pace in paces.items()
            ),
        ]
    )


def _state(run: PlannedRun) -> tuple[str, float]:
    """Returns how a run stands, and the share of it that is left to do."""
    if run.finished:
        return "finished", 0.0
    history = read_history(run.path / "metrics.jsonl")
    if not history:
        return "to do", 1.0
    done, of = history[-1]["epoch"], run.config.train.num_epochs
    return f"to resume after epoch {done} of {of}", max(1 - done / of, 0.01)


def num_evaluations(setup: Setup) -> float:
    """Returns a whole run's work as a number of evaluations of one fragment."""
    config, listed = setup.config, setup.survey.dataset
    held_out = config.data.validation_fraction if config.protocol == "validated" else 0.0
    epoch = len(listed.train) * (TRAINING_FACTOR * (1 - held_out) + held_out)
    recordings = config.train.num_epochs * epoch + len(listed.test)
    return recordings * len(setup.channels) * config.fragments.count


def _paces(entry: Entry) -> list[float]:
    """Returns the operations per second of a row's finished runs, without their first epochs."""
    paces = []
    for run in entry.runs:
        if run.finished and (history := read_history(run.path / "metrics.jsonl")):
            info = read_run(run.path)
            seconds = [epoch["seconds"] for epoch in history]
            typical_s = median(seconds[1:] or seconds)  # the first epoch compiles
            flops = TRAINING_FACTOR * info.recordings.train * info.model.flops_per_recording
            if typical_s:  # 0 of an epoch that a stop interrupted as it was validated
                paces.append(flops / typical_s)
    return paces


def measure_pace(network: Any, input_shape: tuple[int, int]) -> float:
    """Returns the operations per second of evaluation steps, compiled and timed now."""
    devices = local_devices(1)
    # Few examples keep a CPU busy; an accelerator only many, and several steps in a row.
    examples, steps = (8, 1) if devices[0].platform == "cpu" else (64, 8)
    step, *shapes = cost.evaluation(network, examples, input_shape)
    compiled = pmap(step, devices)
    zeros = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), shapes)
    times = []
    for _ in range(3):  # the first one compiles, the second fills caches
        started = time.perf_counter()
        jax.block_until_ready([compiled(*zeros) for _ in range(steps)])
        times.append(time.perf_counter() - started)
    return steps * examples * cost.of_example(network, input_shape) / min(times)
