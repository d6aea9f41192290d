"""Time and memory of a sweep's rows over a few steps, each row in a process of its own."""

import hashlib
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
from ascjax.audio.errors import BadRecording
from ascjax.compute.devices import local_devices
from ascjax.data import extract
from ascjax.data.batches import steps_per_epoch
from ascjax.errors import UserError, first_line
from ascjax.files import write_text
from ascjax.paper.pace import Pace, timed
from ascjax.paper.plan import Entry
from ascjax.setup import Setup, Survey
from ascjax.words import counted, duration

PLAN_FORMAT = 3
PLAN_FILE = "plan.json"
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
      key: digest of what the pace depends on; rows that have it in common are measured once.
      hours: of a run, without extraction.
    """

    runs: int
    input_shape: tuple[int, int]
    steps: int
    evaluations: int
    key: str
    hours: float


@dataclass(frozen=True)
class Measured:
    """A pace, and the row whose process had it."""

    row: str
    pace: Pace


@dataclass(frozen=True, kw_only=True)
class Plan:
    """plan.json.

    Attributes:
      devices: that share each batch, in words.
      measured_steps: of each row, after the first.
      recordings: of the data set.
      extraction_ms: a recording, by channels, in one process.
      rows: by name.
      paces: by key, those of rows that weren't asked for this time among them.
      hours: of all runs that are left, without extraction.
    """

    format: int = PLAN_FORMAT
    devices: str
    measured_steps: int
    recordings: int
    extraction_ms: dict[str, float]
    rows: dict[str, PlannedRow]
    paces: dict[str, Measured]
    hours: float


def write(workdir: Path, entries: Mapping[str, Entry], survey: Survey, steps: int) -> str:
    """Measures the rows that have runs left; writes plan.json and plan.md after each of them.

    Those in plan.json are kept where nothing that their pace depends on has changed.

    Args:
      workdir: the sweep's folder.
      entries: the rows by name.
      survey: of the data set.
      steps: how many are timed after the first.

    Returns:
      The page.

    Raises:
      UserError: a row's process failed, or plan.json is damaged.
    """
    devices = local_devices(next(iter(entries.values())).config.num_devices)
    in_words = f"{len(devices)} × {devices[0].device_kind}"
    left = {name: sum(not run.finished for run in entry.runs) for name, entry in entries.items()}
    setups = {name: Setup(entries[name].config, survey) for name, runs in left.items() if runs}
    if not setups:
        raise UserError(f"--measure: no run is left in {workdir}")
    keys = {name: _key(setup, steps, in_words) for name, setup in setups.items()}
    paces = _known(workdir / PLAN_FILE)
    extraction: dict[str, float] = {}
    page = ""
    for name, setup in setups.items():
        channels = ",".join(setup.channels)
        if channels not in extraction:
            extraction[channels] = extraction_ms(setup)
        if keys[name] not in paces:
            paces[keys[name]] = Measured(name, _in_a_process(name, setup, steps))
        rows = {
            row: _row(setups[row], left[row], key, paces[key].pace)
            for row, key in keys.items()
            if key in paces
        }
        plan = Plan(
            devices=in_words,
            measured_steps=steps,
            recordings=len(survey.whole.recordings),
            extraction_ms=extraction,
            rows=rows,
            paces=paces,
            hours=sum(row.runs * row.hours for row in rows.values()),
        )
        page = _page(plan)
        records.write(workdir / PLAN_FILE, plan)
        write_text(workdir / "plan.md", page)
        step_s, hours = paces[keys[name]].pace.step_s, rows[name].hours
        tqdm.write(f"{name}: {step_s:.3g} s a step, {hours:.3g} h a run")
    return page


def _key(setup: Setup, steps: int, devices: str) -> str:
    """Returns the digest of what a row's pace depends on."""
    rest = {k: v for k, v in setup.config.to_dict().items() if k not in _OTHERWISE}
    work = json.dumps([setup.input_shape, rest, steps, devices], sort_keys=True)
    return hashlib.sha256(work.encode()).hexdigest()


def _known(path: Path) -> dict[str, Measured]:
    """Returns the paces in plan.json by key; none without the file."""
    if not path.exists():
        return {}
    return records.read(path, Plan, version=PLAN_FORMAT, hint="remove it to measure anew").paces


def _row(setup: Setup, runs: int, key: str, pace: Pace) -> PlannedRow:
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
    return PlannedRow(runs, setup.input_shape, steps, evaluations, key, seconds / 3600)


def extraction_ms(setup: Setup) -> float:
    """Returns the median time to read a recording of the set and make its log-mels, in ms.

    Raises:
      UserError: none of those tried can be used.
    """
    length = round(setup.survey.duration_s * setup.survey.sample_rate_hz)
    share = setup.config.data.min_duration_share
    job = extract.Job(Path(), setup.front_end, setup.channels, length, share)
    recordings = setup.survey.dataset.recordings
    taken = np.linspace(0, len(recordings) - 1, min(_EXTRACTED, len(recordings))).astype(int)
    seconds = []
    for index in taken:
        if recordings[index].name in setup.survey.bad:
            continue
        try:
            seconds.append(timed(partial(extract.log_mels, recordings[index].path, job)))
        except BadRecording as error:
            if setup.config.data.on_bad_file != "skip":
                raise
            tqdm.write(f"{error}; not measured")
    if not seconds:
        raise UserError("--measure: none of the recordings tried can be used")
    return 1e3 * float(np.median(seconds[1:] or seconds))  # the first one fills caches


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
            measured = plan.paces[row.key]
            pace = measured.pace
            memory = ", ".join(f"{gb:.1f} ({of})" for of, gb in pace.peak_memory_gb.items())
            also = "" if measured.row == name else f" (as {measured.row})"
            yield (
                f"{name}{also}", "×".join(map(str, row.input_shape)), f"{row.steps:,}",
                f"{pace.step_s:.3g}", f"{pace.evaluation_s:.3g}", memory,
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
