"""How long the runs of a sweep will take: the operations left to do over a measured pace."""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ascjax.compute.devices import local_devices, pmap
from ascjax.models import cost
from ascjax.paper.plan import Entry
from ascjax.report.text import aligned, duration
from ascjax.runs import folder
from ascjax.runs.folds import Run
from ascjax.setup import builders
from ascjax.setup.builders import Survey
from ascjax.training.journal import read_history

# Training on a fragment beside an evaluation: gradients of inputs and of kernels are two more.
TRAINING_FACTOR = 3


def listing(entries: Mapping[str, Entry], found: Survey | None) -> str:
    """Returns the runs with their states and the time they will take, and what that comes to.

    ``found`` is the survey of their data set; what is finished needs none.
    """
    paces = {entry.config.model.trunk: pace for entry in entries.values() for pace in _paces(entry)}
    sources = dict.fromkeys(paces, "as measured by finished runs here")
    lines, total_s = [("run", "time", "state")], 0.0
    for name, entry in entries.items():
        if entry.impossible:
            lines.append((name, "", f"can't exist: {entry.impossible}"))
        states = [_state(run) for run in entry.runs]
        whole_s = 0.0
        if found and any(share_left for _, share_left in states):
            trunk = entry.config.model.trunk
            num_scenes, input_shape = len(found.dataset.scenes), found.input_shape(entry.config)
            network = builders.build_network(entry.config, num_scenes=num_scenes)
            if trunk not in paces:
                paces[trunk] = _timed_pace(network, input_shape)
                sources[trunk] = "as one evaluation step took now, on one device"
            flops = _evaluations(entry.config, found) * cost.of_example(network, input_shape)
            whole_s = flops / paces[trunk]
        for run, (state, share_left) in zip(entry.runs, states, strict=True):
            lacking = f"; lacks weights: {entry.lacking}" if entry.lacking and share_left else ""
            lines.append((run.name, duration(share_left * whole_s), state + lacking))
            total_s += share_left * whole_s
    num_runs = sum(len(entry.runs) for entry in entries.values())
    num_left = sum(bool(seconds) for _, seconds, _ in lines[1:])
    return "\n".join(
        [
            aligned(lines, num_numbers=1),
            "",
            f"{num_left} of {num_runs} runs are left, about {duration(total_s) or '0 s'} without "
            "extraction and compilation, by pace of",
            *(
                f"  {trunk}: {pace / 1e9:,.1f} GFLOP/s, {sources[trunk]}"
                for trunk, pace in paces.items()
            ),
        ]
    )


def _state(run: Run) -> tuple[str, float]:
    """Returns how a run stands, and the share of it that is left to do."""
    if run.finished:
        return "finished", 0.0
    history = read_history(run.path / "metrics.jsonl")
    if not history:
        return "to do", 1.0
    done, of = history[-1]["epoch"], run.config.train.num_epochs
    return f"to go on after epoch {done} of {of}", max(1 - done / of, 0.01)


def _evaluations(config: ConfigDict, found: Survey) -> float:
    """Returns as how many evaluations of one example a whole run counts."""
    held_out = config.data.validation_fraction if config.protocol == "validated" else 0.0
    epoch = len(found.dataset.train) * (TRAINING_FACTOR * (1 - held_out) + held_out)
    recordings = config.train.num_epochs * epoch + len(found.dataset.test)
    return recordings * len(config.channels) * builders.cutting(config)[0]


def _paces(entry: Entry) -> list[float]:
    """Returns the operations per second of a row's finished runs, without their first epochs."""
    paces = []
    for run in entry.runs:
        if run.finished:
            about = folder.read_run(run.path)
            history = read_history(run.path / "metrics.jsonl")
            seconds = [epoch["seconds"] for epoch in history]
            recordings = TRAINING_FACTOR * about["recordings"]["train"]
            flops = recordings * about["model"]["flops_per_recording"]
            paces.append(flops / median(seconds[1:] or seconds))  # the first epoch compiles
    return paces


def _timed_pace(network: Any, input_shape: tuple[int, int]) -> float:
    """Returns the operations per second of evaluation steps, compiled and timed now."""
    over = local_devices(1)
    # Few examples keep a CPU busy; an accelerator only many, and several steps in a row.
    examples, steps = (8, 1) if over[0].platform == "cpu" else (64, 8)
    step, *shapes = cost.evaluation(network, examples, input_shape)
    compiled = pmap(step, over)
    zeros = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), shapes)
    times = []
    for _ in range(3):  # the first one compiles, the second fills caches
        started = time.perf_counter()
        jax.block_until_ready([compiled(*zeros) for _ in range(steps)])
        times.append(time.perf_counter() - started)
    return steps * examples * cost.of_example(network, input_shape) / min(times)
