"""The run folder: one trained model and everything about it.

config.json        the resolved config
run.json           `RunInfo`: with a checkpoint, all that prediction needs
checkpoints/       Orbax: the last few and the best
metrics.jsonl      a line for each epoch; events/ has the same for TensorBoard
posteriors.npz     of the test part, [recording, channel, fragment, scene]
examples.npz       log-mels of a right and a wrong recording, for the report
model.safetensors  the variables that were tested
novelty.npz        how "unknown" recordings are recognised, if there is a validation part
teacher.npz        a teacher's scores of the training part, if there is one
results.json       `RunResults`: metrics of the test part, the decision on each recording
report.html        all of it to look at
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ascjax import records
from ascjax.audio import frontends
from ascjax.audio.frontend import FrontEnd
from ascjax.errors import UserError
from ascjax.files import TEST_AGAIN, is_new, read_arrays, read_json, write_json
from ascjax.runs.info import RUN_FORMAT, RunInfo
from ascjax.scoring.calibration import Calibration
from ascjax.scoring.fusion import check_posteriors, fuse
from ascjax.scoring.results import Results, check

TRAIN_AGAIN = "train the run anew in another folder"
RESULTS_FORMAT = 4
# Of the folders that `ascjax export` writes.
EXPORT_FILE = "export.json"
# The part that a run of the protocol "all" was tested on.
UNTESTED = "none"


def is_exported(folder: Path) -> bool:
    """Whether a folder is one that `ascjax export` wrote."""
    return os.path.exists(folder / EXPORT_FILE)


@dataclass(frozen=True)
class Seconds:
    """Wall-clock time of training (all epochs) and of the test."""

    train: float
    test: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Trained:
    """results.json of a run of the protocol ``all``, which leaves no recordings to test on.

    Attributes:
      part: of the data set that it was tested on, ``test`` or ``none``.
      step: of the checkpoint that was kept.
      peak_memory_gb: of the process and, on accelerators, of a device.
      model_sha256: digest of model.safetensors.
      calibration: fitted on the validation part, the run's own or the followed run's; None under
        the protocol ``paper``.
    """

    format: int = RESULTS_FORMAT
    part: str
    step: int
    seconds: Seconds
    peak_memory_gb: dict[str, float]
    model_sha256: str
    calibration: Calibration | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResults(Trained, Results):
    """results.json of every other run: the results of its test part."""


def read_run(folder: Path) -> RunInfo:
    """Returns run.json.

    Raises:
      UserError: it is missing, damaged or of another format.
    """
    return records.read(folder / "run.json", RunInfo, version=RUN_FORMAT, hint=TRAIN_AGAIN)


def restore_front_end(folder: Path, info: RunInfo) -> FrontEnd:
    """Returns what turned waveforms into the network's input.

    Raises:
      UserError: run.json describes no front end.
    """
    path = folder / "run.json"
    try:
        front_end = frontends.from_dict(info.front_end)
    except UserError as error:
        raise UserError(f"{path}: front_end: {error}; {TRAIN_AGAIN}") from None
    if len(info.normalisation.mean) != front_end.num_mels:
        raise UserError(
            f"{path}: expected means and deviations of {front_end.num_mels} mel bands, got "
            f"{len(info.normalisation.mean)}; {TRAIN_AGAIN}"
        )
    return front_end


def read_trained(folder: Path) -> Trained | RunResults:
    """Returns results.json of a finished run, `RunResults` if it has a test part.

    Raises:
      UserError: it is missing, damaged or of another format.
    """
    path = folder / "results.json"
    if not os.path.exists(path):
        if folds := sorted(folder.glob("fold*/results.json")):
            raise UserError(
                f"{folder}: holds runs of folds; give one of them, e.g. {folds[0].parent}"
            )
        raise UserError(
            f"{path}: expected this file of a finished run; start the run's command again to "
            "finish it"
        )
    trained = records.read(path, Trained, version=RESULTS_FORMAT, hint=TEST_AGAIN)
    if trained.part == UNTESTED:
        return trained
    results = records.read(path, RunResults, version=RESULTS_FORMAT, hint=TEST_AGAIN)
    count, correct, decisions = results.recordings, results.accuracy.correct, results.decisions
    columns = vars(decisions)
    known = [name for name in columns if columns[name] or name not in ("location", "device")]
    if {len(columns[name]) for name in known} != {count} or results.right.sum() != correct:
        raise UserError(
            f"{path}: expected decisions on {count} recordings, {correct} of them right; "
            f"{TEST_AGAIN}"
        )
    if {len(row) for row in results.confusion} | {len(results.confusion)} != {len(results.scenes)}:
        raise UserError(f"{path}: expected confusion as scenes × scenes of counts; {TEST_AGAIN}")
    for group, names in (("scene", results.scenes), ("channel", results.channels)):
        if set(getattr(results, f"by_{group}")) != set(names):
            raise UserError(f"{path}: expected by_{group} of {', '.join(names)}; {TEST_AGAIN}")
    if not set(results.loss_by_scene) <= set(results.scenes):
        raise UserError(f"{path}: expected loss_by_scene of the scenes alone; {TEST_AGAIN}")
    return results


def read_results(folder: Path) -> RunResults:
    """Returns results.json of a finished run with a test part.

    Raises:
      UserError: as `read_trained`, or the run was trained on every recording.
    """
    trained = read_trained(folder)
    if not isinstance(trained, RunResults):
        raise UserError(
            f"{folder}: has no test part and no accuracy, as it was trained on every recording "
            "(protocol all); take the run that it follows, see run.json"
        )
    return trained


@dataclass(frozen=True)
class TestPosteriors:
    """posteriors.npz: the test part's posteriors and what belongs to them.

    Attributes:
      posteriors: float32 [recording, channel, fragment, scene].
      label: [recording], indices of true scenes.
      recording, location, city, device: [recording], names; ``""`` where unknown.
      unknown: as ``posteriors``, of recordings of none of the scenes; None if none were tested.
    """

    __test__ = False  # no test class, whatever pytest takes it for

    posteriors: np.ndarray
    label: np.ndarray
    recording: np.ndarray
    location: np.ndarray
    city: np.ndarray
    device: np.ndarray
    unknown: np.ndarray | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Those that the file holds."""
        return {name: array for name, array in vars(self).items() if array is not None}


def read_posteriors(folder: Path, results: Results) -> TestPosteriors:
    """Returns posteriors.npz; fused as in the run they give the decisions in ``results``.

    Raises:
      UserError: the file is missing, damaged or doesn't fit the results.
    """
    path = folder / "posteriors.npz"
    names = [field.name for field in fields(TestPosteriors)]
    if results.open_set is None:
        names.remove("unknown")
    stored = TestPosteriors(**read_arrays(path, *names))
    shape = (results.recordings, len(results.channels), results.fragments, len(results.scenes))
    if stored.posteriors.shape != shape:
        raise UserError(
            f"{path}: expected posteriors of shape {shape} as in results.json, got "
            f"{stored.posteriors.shape}; {TEST_AGAIN}"
        )
    named = stored.recording, stored.location, stored.city, stored.device
    unknown = stored.posteriors[:1] if stored.unknown is None else stored.unknown
    if (
        {(each.shape, each.dtype.kind) for each in named} != {((results.recordings,), "U")}
        or {stored.posteriors.dtype.kind, unknown.dtype.kind} != {"f"}
        or unknown.shape[1:] != shape[1:]
    ):
        raise UserError(
            f"{path}: expected posteriors as floats, and the names, locations, cities and devices "
            f"of {results.recordings} recordings as text, got others; {TEST_AGAIN}"
        )
    try:
        check_posteriors(unknown)
        check(
            stored.posteriors,
            stored.label,
            names=stored.recording.tolist(),
            scenes=results.scenes,
            channels=results.channels,
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}; {TEST_AGAIN}") from None
    scenes, by = np.array(results.scenes), results.fusion
    predicted = fuse(stored.posteriors, fragments=by.fragments, channels=by.channels).argmax(-1)
    expected = results.decisions
    if not (
        np.array_equal(stored.recording, expected.recording)
        and np.array_equal(scenes[stored.label], expected.true)
        and np.array_equal(scenes[predicted], expected.predicted)
    ):
        raise UserError(
            f"{path}: expected the posteriors behind the decisions in results.json, got others; "
            f"{TEST_AGAIN}"
        )
    return stored


def check_workdir(workdir: Path, config: Mapping[str, Any]) -> None:
    """Checks that ``workdir`` is this config's run folder, or can become one.

    Raises:
      UserError: it can't be written, isn't a run folder, or belongs to another config.
    """
    # Prediction needs no config, and its imports take a fifth of a second.
    from ascjax.config import differences

    path = workdir / "config.json"
    if is_new(workdir, path.name):
        return
    differing = differences(read_json(path, hint="remove the folder to train anew"), config)
    if differing:
        raise UserError(
            f"--workdir={workdir}: holds a run of another config: {differing}; choose another "
            "--workdir or remove that folder"
        )


def begin(workdir: Path, config: Mapping[str, Any], info: RunInfo) -> RunInfo:
    """Writes config.json and run.json, or checks that a run to resume has the same inputs.

    Returns:
      What run.json holds.

    Raises:
      UserError: recordings, scenes, features or weights are no longer those of the run's start.
    """
    path = workdir / "run.json"
    if not path.exists():
        write_json(workdir / "config.json", config)
        records.write(path, info)
        return info
    before = read_run(workdir)
    changed = [
        said
        for name, said in {
            "scenes": "scenes",
            "channels": "channels",
            "front_end": "front end",
            "duration_s": "duration",
            "left_out": "unreadable recordings",
        }.items()
        if getattr(before, name) != getattr(info, name)
    ]
    if before.data.fingerprint != info.data.fingerprint:
        changed.append("recordings or their labels")
    if before.initial_weights.sha256 != info.initial_weights.sha256:
        changed.append("initial weights")
    if before.teacher != info.teacher:
        changed.append("teacher")
    for name in ("mean", "deviation"):
        old, new = (getattr(each.normalisation, name) for each in (before, info))
        # Not to the bit: another processor rounds otherwise.
        if len(old) != len(new) or not np.allclose(old, new, rtol=1e-3, atol=1e-3):
            changed.append(f"{name} of the training part")
    if changed:
        raise UserError(
            f"{path}: the data set has changed since this run began ({', '.join(changed)}); "
            "start anew in another --workdir"
        )
    return before
