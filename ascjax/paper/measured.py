"""Time and memory of a sweep's rows over a few steps, each row in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from tqdm import tqdm

from ascjax import records
from ascjax.compute.devices import local_devices
from ascjax.data import extract
from ascjax.data.batches import steps_per_epoch
from ascjax.errors import UserError, first_line
from ascjax.files import write_text
from ascjax.paper.pace import Pace, timed
from ascjax.paper.plan import Entry
from ascjax.setup import Setup, Survey
from ascjax.words import counted, duration

PLAN_FORMAT = 1
# What a step's time and memory don't depend on.
_OTHERWISE = ("seed", "protocol", "data", "init", "channels", "fragments", "features", "fusion")
_EXTRACTED = 12


@dataclass(frozen=True)
class PlannedRow:
    """A row: its runs that are left, their size, its pace, and the hours that follow from it.

    Attributes:
      runs: that aren't finished.
      input_shape: [mel, frame] of a fragment.
      steps: optimiser steps of a run.
      evaluations: batches that a run evaluates, at its test and in validation.
      pace: measured.
      measured_as: the row whose process that was.
      hours: of a run, without extraction.
    """

    runs: int
    input_shape: tuple[int, int]
    steps: int
    evaluations: int
    pace: Pace
    measured_as: str
    hours: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """plan.json.

    Attributes:
      devices: that share each batch, in words.
      measured_steps: of each row, after the first.
      recordings: of the data set.
      extraction_ms: a recording, by channels, in one process.
      rows: by name.
      hours: of all runs that are left, without extraction.
    """

    format: int = PLAN_FORMAT
    devices: str
    measured_steps: int
    recordings: int
    extraction_ms: dict[str, float]
    rows: dict[str, PlannedRow]
    hours: float


def write(workdir: Path, entries: Mapping[str, Entry], survey: Survey, steps: int) -> str:
    """Measures the rows that have runs left; writes plan.json and plan.md after each of them.

    Args:
      workdir: the sweep's folder.
      entries: the rows by name.
      survey: of the data set.
      steps: how many are timed after the first.

    Returns:
      The page.

    Raises:
      UserError: a row's process failed.
    """
    devices = local_devices(next(iter(entries.values())).config.num_devices)
    rows: dict[str, PlannedRow] = {}
    extraction: dict[str, float] = {}
    paces: dict[str, tuple[str, Pace]] = {}
    page = ""
    for name, entry in entries.items():
        runs = sum(not run.finished for run in entry.runs)
        if not runs:
            continue
        setup = Setup(entry.config, survey)
        channels = ",".join(setup.channels)
        if channels not in extraction:
            extraction[channels] = extraction_ms(setup)
        rest = {k: v for k, v in entry.config.to_dict().items() if k not in _OTHERWISE}
        key = json.dumps([setup.input_shape, rest], sort_keys=True)
        if key not in paces:
            paces[key] = name, _in_a_process(name, setup, steps)
        rows[name] = _row(setup, runs, *paces[key])
        plan = Plan(
            devices=f"{len(devices)} × {devices[0].device_kind}",
            measured_steps=steps,
            recordings=len(survey.whole.recordings),
            extraction_ms=extraction,
            rows=rows,
            hours=sum(row.runs * row.hours for row in rows.values()),
        )
        page = _page(plan)
        records.write(workdir / "plan.json", plan)
        write_text(workdir / "plan.md", page)
        tqdm.write(f"{name}: {paces[key][1].step_s:.3g} s a step, {rows[name].hours:.3g} h a run")
    if not rows:
        raise UserError(f"--measure: no run is left in {workdir}")
    return page


def _row(setup: Setup, runs: int, measured_as: str, pace: Pace) -> PlannedRow:
    config, each = setup.config, len(setup.channels) * setup.config.fragments.count
    split = setup.split
    steps = config.train.num_epochs * steps_per_epoch(
        len(split.train) * each, config.train.batch_size
    )
    test, held_out = (
        -(-len(part or ()) * each // config.eval.batch_size)
        for part in (split.test, split.validation)
    )
    evaluations = test + config.train.num_epochs * held_out
    seconds = pace.compile_s + steps * pace.step_s + evaluations * pace.evaluation_s
    return PlannedRow(
        runs, setup.input_shape, steps, evaluations, pace, measured_as, seconds / 3600
    )


def extraction_ms(setup: Setup) -> float:
    """Returns the median time to read a recording of the set and make its log-mels, in ms."""
    length = round(setup.survey.duration_s * setup.survey.sample_rate_hz)
    share = setup.config.data.min_duration_share
    job = extract.Job(Path(), setup.front_end, setup.channels, length, share)
    recordings = setup.survey.dataset.recordings
    taken = np.linspace(0, len(recordings) - 1, min(_EXTRACTED, len(recordings))).astype(int)
    seconds = [
        timed(partial(extract.log_mels, recordings[index].path, job))
        for index in taken
        if recordings[index].name not in setup.survey.bad
    ]
    return 1e3 * float(np.median(seconds[1:]))  # the first one fills caches


def _in_a_process(name: str, setup: Setup, steps: int) -> Pace:
    """Returns the pace of a row, from a process of its own, as peak memory is a process's."""
    work = {
        "config": setup.config.to_dict(),
        "num_scenes": len(setup.survey.dataset.scenes),
        "input_shape": setup.input_shape,
        "num_examples": len(setup.split.train) * len(setup.channels) * setup.config.fragments.count,
        "steps": steps,
    }
    command = [sys.executable, "-m", "ascjax.paper.pace"]
    done = subprocess.run(command, input=json.dumps(work), capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"--measure: {name} failed: {first_line(Exception(last))}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Pace)


def _page(plan: Plan) -> str:
    """Returns plan.md."""

    def cells() -> Iterator[tuple[str, ...]]:
        yield ("row", "fragment", "steps", "s/step", "s/evaluation", "peak GB", "h/run", "runs")
        yield ("---",) * 8
        for name, row in plan.rows.items():
            memory = ", ".join(f"{gb:.1f} ({of})" for of, gb in row.pace.peak_memory_gb.items())
            also = "" if row.measured_as == name else f" (as {row.measured_as})"
            yield (
                f"{name}{also}", "×".join(map(str, row.input_shape)), f"{row.steps:,}",
                f"{row.pace.step_s:.3g}", f"{row.pace.evaluation_s:.3g}", memory,
                f"{row.hours:.3g}", str(row.runs),
            )  # fmt: skip

    table = "\n".join(f"| {' | '.join(row)} |" for row in cells())
    extraction = "; ".join(
        f"{channels}: {ms:.1f} ms a recording, {duration(plan.recordings * ms / 1e3)} in all"
        for channels, ms in plan.extraction_ms.items()
    )
    return (
        f"# Plan\n\n{counted(plan.recordings, 'recording')} on {plan.devices}; each row by "
        f"{counted(plan.measured_steps, 'step')} after the first, the rest extrapolated.\n\n{table}"
        f"\n\nIn all {plan.hours:,.1f} hours, one run after the other, without extraction.\n"
        f"Extraction, by one process: {extraction}.\n"
    )
