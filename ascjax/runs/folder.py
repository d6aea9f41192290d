"""The run folder: one trained model and everything about it.

config.json        the resolved config
run.json           scenes, channels, front end, normalisation, model, counts: enough to predict
checkpoints/       Orbax: the last few and the best
metrics.jsonl      a line for each epoch; events/ has the same for TensorBoard
posteriors.npz     of the test part, [recording, channel, fragment, scene]
examples.npz       log-mels of a right and a wrong recording, for the report
results.json       metrics of the test part, and the decision on each recording
report.html        all of it to look at
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ascjax.config import differences
from ascjax.errors import UserError
from ascjax.files import TEST_AGAIN, is_new, need, read_arrays, read_json, write_json
from ascjax.scoring import metrics
from ascjax.scoring.fusion import fuse

# Of run.json; that of results.json is ``metrics.FORMAT``.
FORMAT = 1
# What of run.json must still hold when a run goes on.
SAME = ("scenes", "channels", "front_end", "duration_s", "recordings", "left_out")
# What run.json and results.json must have, and of which type.
RUN_KEYS = {
    "format": int, "scenes": list, "channels": list, "fragments": int, "duration_s": float,
    "front_end": dict, "normalisation": dict, "model": dict, "fusion": dict, "recordings": dict,
    "left_out": dict, "data": dict, "synthetic": bool,
}  # fmt: skip
RESULT_KEYS = {
    "format": int, "part": str, "step": int, "seconds": dict, "recordings": int,
    "fragments": int, "scenes": list, "channels": list, "fusion": dict, "chance": float,
    "accuracy": dict, "macro_accuracy": float, "log_loss": float, "log_loss_floor": float,
    "confusion": list, "by_scene": dict, "by_channel": dict, "single_fragment": dict,
    "fragments_fused": dict, "decisions": dict,
}  # fmt: skip


def _read_format(path: Path, form: int, kinds: Mapping[str, type], mend: str) -> dict[str, Any]:
    """Returns the JSON object in ``path``, its version and the types of its values checked."""
    content = read_json(path, required=["format"], mend=mend)
    if content["format"] != form:
        raise UserError(
            f"{path}: expected format {form}, got {content['format']!r}; use the version of ascjax "
            f"that wrote it, or {mend}"
        )
    need(content, *kinds, path=path, mend=mend)
    wrong = [key for key, kind in kinds.items() if not isinstance(content[key], kind)]
    if wrong:
        raise UserError(
            f"{path}: expected {wrong[0]} as {kinds[wrong[0]].__name__}, got "
            f"{content[wrong[0]]!r:.40}; {mend}"
        )
    return content


def read_run(folder: Path) -> dict[str, Any]:
    """Returns run.json of a run.

    Raises:
      UserError: it is missing, damaged or of another format.
    """
    mend = "train the run anew in another folder"
    return _read_format(folder / "run.json", FORMAT, RUN_KEYS, mend)


def read_results(folder: Path) -> dict[str, Any]:
    """Returns results.json of a finished run.

    Raises:
      UserError: it is missing, damaged or of another format.
    """
    path = folder / "results.json"
    results = _read_format(path, metrics.FORMAT, RESULT_KEYS, TEST_AGAIN)
    for part, keys in {
        "accuracy": ("correct", "total", "accuracy", "interval_95"),
        "seconds": ("train", "test"),
        "decisions": ("recording", "true", "predicted"),
    }.items():
        need(results[part], *keys, path=path, mend=TEST_AGAIN)
    sides = {len(results["scenes"]), len(results["confusion"])}
    sides |= {len(row) if isinstance(row, list) else -1 for row in results["confusion"]}
    if len(sides) > 1:
        raise UserError(f"{path}: expected confusion as scenes × scenes of counts; {TEST_AGAIN}")
    count, correct = results["recordings"], results["accuracy"]["correct"]
    if not all(isinstance(v, list) and len(v) == count for v in results["decisions"].values()) or (
        metrics.recognised(results).sum() != correct
    ):
        raise UserError(
            f"{path}: expected decisions on {count} recordings, {correct} of them right; "
            f"{TEST_AGAIN}"
        )
    return results


def read_posteriors(folder: Path, results: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns ``posteriors``, ``label`` and ``recording`` of posteriors.npz.

    Fused as in the run, they give the decisions in results.json.

    Args:
      folder: of a finished run.
      results: its ``read_results``.

    Raises:
      UserError: the file is missing, damaged or doesn't fit the results.
    """
    path = folder / "posteriors.npz"
    arrays = read_arrays(path, "posteriors", "label", "recording")
    expected = (results["recordings"], len(results["channels"]), results["fragments"])
    if arrays["posteriors"].shape != (*expected, len(results["scenes"])):
        raise UserError(
            f"{path}: expected posteriors as in results.json, {expected} × "
            f"{len(results['scenes'])} scenes, got {arrays['posteriors'].shape}; {TEST_AGAIN}"
        )
    try:
        metrics.check(
            arrays["posteriors"],
            arrays["label"],
            names=arrays["recording"],
            scenes=results["scenes"],
            channels=results["channels"],
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}; {TEST_AGAIN}") from None
    scenes = np.array(results["scenes"])
    predicted = fuse(arrays["posteriors"], **results["fusion"]).argmax(-1)
    given = {
        "recording": arrays["recording"],
        "true": scenes[arrays["label"]],
        "predicted": scenes[predicted],
    }
    if any(not np.array_equal(given[key], results["decisions"][key]) for key in given):
        raise UserError(
            f"{path}: expected the posteriors behind the decisions in results.json, got others; "
            f"{TEST_AGAIN}"
        )
    return arrays


def check(workdir: Path, config: Mapping[str, Any]) -> None:
    """Checks that ``workdir`` is this config's run folder, or can become one.

    Raises:
      UserError: it can't be written, isn't a run folder, or belongs to another config.
    """
    path = workdir / "config.json"
    if is_new(workdir, path.name):
        return
    differing = differences(read_json(path, mend="remove the folder to train anew"), config)
    if differing:
        raise UserError(
            f"--workdir={workdir}: holds a run of another config: {differing}; choose another "
            "--workdir or remove that folder"
        )


def begin(workdir: Path, config: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Writes config.json and run.json, or checks that a run to go on with is about the same data.

    Raises:
      UserError: scenes, recordings or features are no longer what the run began with.
    """
    path = workdir / "run.json"
    if path.exists():
        before = read_run(workdir)
        changed = [key for key in SAME if before.get(key) != json.loads(json.dumps(about[key]))]
        for key, values in about["normalisation"].items():
            # Not to the bit: another processor rounds otherwise.
            if not np.allclose(values, before["normalisation"][key], rtol=1e-3, atol=1e-3):
                changed.append(f"{key} of the training part")
        if changed:
            raise UserError(
                f"{path}: the data set has changed since this run began ({', '.join(changed)}); "
                "start anew in another --workdir"
            )
        return
    write_json(workdir / "config.json", config)
    write_json(path, about)
