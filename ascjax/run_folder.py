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
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ascjax import metrics
from ascjax.errors import UserError
from ascjax.fusion import fuse

RUN_AGAIN = "start the run's command again to finish it"
TEST_AGAIN = "remove results.json there and start the run's command again to test anew"
# Of run.json; that of results.json is ``metrics.FORMAT``.
FORMAT = 1
# Keys that change where and how fast a run is computed, not what: they may differ when it goes on.
FREE = (
    "data.num_workers", "data.resident", "data.store_dir", "init.weights_dir", "log_every_steps",
    "num_devices", "train.remat",
)  # fmt: skip
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


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that it is whole or not there.

    Raises:
      UserError: it can't be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 as ``write_bytes`` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes JSON as ``write_bytes`` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def check_new(path: Path, flag: str) -> None:
    """Checks, before the work for it, that a file can be written and replaces nothing.

    Args:
      path: the file.
      flag: what the user named it with.

    Raises:
      UserError: it is there already or can't be made.
    """
    if path.exists():
        raise UserError(f"{flag}={path}: is there already; choose another name or remove it")
    try:
        partial = path.with_name(path.name + ".partial")
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise UserError(f"{flag}={path}: cannot be written ({error.strerror})") from None


def read_json(path: Path, *, required: Sequence[str] = (), mend: str = RUN_AGAIN) -> dict[str, Any]:
    """Returns the JSON object in ``path``; ``mend`` is what to do where it is damaged.

    Raises:
      UserError: the file is missing, is no JSON object or lacks a ``required`` key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: expected this file of a finished run; {RUN_AGAIN}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected JSON, got {error}; {mend}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {content!r:.40}; {mend}")
    need(content, *required, path=path, mend=mend)
    return content


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


def need(content: Mapping[str, Any], *keys: str, path: Path, mend: str = RUN_AGAIN) -> None:
    """Raises UserError, naming ``path``, unless ``content`` has every one of ``keys``."""
    missing = [key for key in keys if key not in content]
    if missing:
        raise UserError(f"{path}: expected the keys {', '.join(missing)} in it; {mend}")


def read_history(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of metrics.jsonl, one an epoch and in order; none if there is no file.

    Of an epoch that a resumed run has repeated, the last entry counts; a last line without its end
    was being written when the run was killed, and does not count.

    Raises:
      UserError: a line is damaged; the message gives its number.
    """
    if not path.exists():
        return []
    by_epoch = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            by_epoch[entry["epoch"]] = entry
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: expected JSON with the key epoch, got {error!r}; "
                "remove that line and try again"
            ) from None
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Returns the arrays ``names`` of an npz file.

    Raises:
      UserError: the file is missing, damaged or lacks one of them.
    """
    try:
        # Opened here, since np.load leaves a file that it can't read open.
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in names}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as e:
        raise UserError(
            f"{path}: expected the arrays {', '.join(names)}, got {e}; {TEST_AGAIN}"
        ) from None


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


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a config's leaves by dotted key; lists, as JSON has them, become tuples."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = tuple(value) if isinstance(value, list) else value
    return flat


def is_new(workdir: Path, marker: str, mend: str = "choose another folder") -> bool:
    """Makes sure that ``workdir`` is there; returns whether it is empty, not yet what it will be.

    Args:
      workdir: of a run or of a sweep.
      marker: the file that it then has.
      mend: what to do where it holds other things.

    Raises:
      UserError: it can't be written, or holds other things.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".writable").touch()
        (workdir / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"--workdir={workdir}: cannot write there ({error.strerror}); choose another folder"
        ) from error
    if (workdir / marker).exists():
        return False
    names = sorted(p.name for p in workdir.iterdir())
    others = [name for name in names if name[0] != "." and not name.endswith(".partial")]
    if others:
        raise UserError(
            f"--workdir={workdir}: expected an empty or new folder or one with {marker}, found "
            f"{', '.join(others[:3])}; {mend}"
        )
    return True


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


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says which leaves differ, the ``FREE`` ones left aside; nothing if none does."""
    theirs, ours = flatten(before), flatten(now)
    differing = [
        f"{key} ({theirs.get(key)!r} there, {ours.get(key)!r} now)"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key not in FREE
    ]
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return ", ".join(differing[:3]) + more


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
