"""Kills, stops and fills the disk of a training at 26 moments, and compares what comes of it.

  python tests/faults/faults.py [--few] [--flips=N] [--moments=NAME,...]

Every moment is a training of its own on a tiny set, which meets its fault there; the same command
then goes on, and what it ends with must be that of an undisturbed training to the bit, with nothing
left over. The disturbed one must have ended with the right exit code, in time and without a
traceback. Kills are SIGKILL; a full disk is a limit of 0 bytes on what is written from then on,
which every writer meets as an error of the system. Then single bits are flipped in a checkpoint and
in a feature store, and no value of them may be used.
"""

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
HEARD_WITHIN_S = 10


class Moment(NamedTuple):
    """The n-th call of a function, and the fault ``delay_s`` later."""

    name: str
    fault: str  # kill, term or full
    function: str
    call: int = 1
    delay_s: float = 0.0
    command: str = "train"


LOOP, ARRAYS = "ascjax.training.loop:Trainer", "ascjax.training.arrays:ArrayFiles.write"
TESTING = "ascjax.runs.testing"
MOMENTS = (
    Moment("make-store", "kill", "ascjax.data.rows:_create", 2),
    Moment("make-store-full", "full", "ascjax.data.rows:_create"),
    Moment("extract", "kill", "ascjax.data.sharing:Table.record", 5),
    Moment("extract-term", "term", "ascjax.data.sharing:Table.record", 2),
    Moment("statistics", "kill", "ascjax.data.normalisation:mel_statistics"),
    Moment("compile", "kill", f"{LOOP}._take", 1, 0.1),
    Moment("compile-term", "term", f"{LOOP}._take", 1, 0.05),
    Moment("warm-up", "kill", f"{LOOP}._take", 3),
    Moment("warm-up-term", "term", f"{LOOP}._take", 2),
    Moment("first-save", "kill", ARRAYS, 1, 0.02),
    Moment("first-save-term", "term", ARRAYS),
    Moment("second-save", "kill", ARRAYS, 2, 0.05),
    Moment("second-save-full", "full", ARRAYS, 2),
    Moment("prune", "kill", "ascjax.training.checkpoints:Checkpoints._prune", 4),
    Moment("log-full", "full", "ascjax.training.journal:TrainingLog.epoch", 2),
    Moment("events-full", "full", "ascjax.training.events:EventFile.scalars", 3),
    Moment("validation", "kill", f"{LOOP}._validate", 1, 0.01),
    Moment("validation-term", "term", f"{LOOP}._validate", 2),
    Moment("test", "kill", f"{TESTING}:test", 1, 0.02),
    Moment("test-term", "term", f"{TESTING}:test"),
    Moment("npz-full", "full", f"{TESTING}:write_arrays"),
    Moment("results", "kill", "ascjax.records:write", 2),
    Moment("report", "kill", "ascjax.report.report:write", 1, 0.05),
    Moment("report-full", "full", "ascjax.report.report:write"),
    Moment("sweep", "kill", "ascjax.runs.experiment:train", 2, 0.1, "folds"),
    Moment("sweep-term", "term", "ascjax.runs.experiment:train", 2, 0.0, "folds"),
)
FEW = ("extract", "compile-term", "first-save", "second-save-full", "validation-term", "npz-full")


def fail_at(moment: Moment, pipe: int) -> None:
    """Lets the fault of a moment happen in this process; writes the time of it to ``pipe``."""
    module, _, path = moment.function.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    whole, calls = getattr(owner, name), []

    def fault() -> None:
        os.write(pipe, f"{time.monotonic()}\n".encode())
        if moment.fault == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        else:
            os.kill(os.getpid(), signal.SIGKILL if moment.fault == "kill" else signal.SIGTERM)

    def counted(*args, **kwargs):
        calls.append(None)
        if len(calls) == moment.call:
            threading.Timer(moment.delay_s, fault).start() if moment.delay_s else fault()
        return whole(*args, **kwargs)

    setattr(owner, name, counted)


class Ended(NamedTuple):
    """How a command ended: its exit code, what it printed, and seconds since its fault."""

    code: int
    said: str
    after_s: float


def run(words: list[str], moment: Moment | None = None) -> Ended:
    """Runs ``ascjax train`` in a process of its own, forked so that it needn't import anything."""
    (said_in, said_out), (at_in, at_out) = os.pipe(), os.pipe()

    def main() -> None:
        from ascjax import cli
        from ascjax import main as command

        os.dup2(said_out, 1)
        os.dup2(said_out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        if moment:
            fail_at(moment, at_out)
        sys.argv = ["ascjax train", *words]
        cli.run(command.main, command.parse)

    process = multiprocessing.get_context("fork").Process(target=main)
    process.start()
    os.close(said_out)
    os.close(at_out)
    with os.fdopen(said_in, errors="replace") as file:
        said = file.read()
    process.join()
    with os.fdopen(at_in) as file:
        at = file.read()
    if moment and not at:
        raise SystemExit(f"{moment.name}: the moment never came\n{said}")
    assert process.exitcode is not None
    return Ended(process.exitcode, said, time.monotonic() - float(at) if at else 0.0)


def command(folder: Path, store: Path, kind: str) -> list[str]:
    """Returns the words of a command whose run is in ``folder/run``."""
    import tiny_set

    settings = {
        **tiny_set.overrides(folder),
        "data.root": folder.parent / "set",
        "data.store_dir": store,
        "num_devices": 1,
        "protocol": "validated",
        "checkpoint.keep": 2,
        "train.num_epochs": 1 if kind == "folds" else 3,
    }
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    folds = ["--folds=all"] if kind == "folds" else []
    return [f"--config={tiny_set.CONFIG}", f"--workdir={folder / 'run'}", *flags, *folds]


def outcome(folder: Path, store: Path) -> dict[str, object]:
    """Returns all that a training ends with, but for times, memory and its own paths."""
    from ascjax.training.journal import read_history

    found: dict[str, object] = {}
    for path in sorted((folder / "run").rglob("*")):
        name = str(path.relative_to(folder / "run"))
        if "/events/" in f"/{name}" or path.is_dir() or path.name in (".lock", "report.html"):
            continue
        if path.name in ("_CHECKPOINT_METADATA", "validation.json"):
            content = json.loads(path.read_bytes())
            found[name] = content.get("custom_metadata", content)
        elif "checkpoints" in path.parts:
            continue  # Orbax's, with names of their own; the sums above stand for their values
        elif path.name == "metrics.jsonl":
            found[name] = [{**line, "seconds": 0} for line in read_history(path)]
        elif path.name in ("run.json", "config.json", "folds.json"):
            found[name] = path.name
        elif path.name == "results.json":
            own = {"seconds", "peak_memory_gb"}
            results = json.loads(path.read_bytes())
            found[name] = {key: value for key, value in results.items() if key not in own}
        else:
            found[name] = path.read_bytes()
    [features] = [each.parent for each in store.glob("*/log_mel.npy")]
    for name in sorted(each.name for each in features.iterdir()):
        if name not in (".lock", "settings.json"):
            found[f"store/{name}"] = (features / name).read_bytes()
    return found


def problems(moment: Moment, ended: Ended) -> list[str]:
    """Returns what is wrong with how a disturbed command ended."""
    found = []
    expected = {"kill": -signal.SIGKILL, "term": 128 + signal.SIGTERM, "full": 2}[moment.fault]
    if ended.code != expected:
        found.append(f"exit code {ended.code}, expected {expected}")
    if re.search("Traceback|Exception ignored|Error:", ended.said):
        found.append("a traceback")
    if moment.fault == "term":
        if ended.after_s > HEARD_WITHIN_S:
            found.append(f"heard after {ended.after_s:.1f} s")
        if "; the same command resumes from there" not in ended.said:
            found.append("no word of the stop")
    if moment.fault == "full":
        errors = [line for line in ended.said.splitlines() if "error: " in line]
        if len(errors) != 1 or not re.search(r"/\S+: cannot .*(File too large)", errors[0]):
            found.append(f"expected one line that names the file, got {errors}")
    return found


def try_moment(moment: Moment, folder: Path, whole: Path, expected: dict[str, object]) -> list[str]:
    """Returns what is wrong with a moment."""
    store = folder / "store"
    if not moment.function.startswith("ascjax.data"):
        shutil.copytree(whole / "store", store)
    words = command(folder, store, moment.command)
    ended = run(words, moment)
    found, said = problems(moment, ended), ended.said
    again = run(words)
    if again.code:
        return [*found, f"the same command: exit code {again.code}", said, again.said]
    reached = outcome(folder, store)
    found += [f"{name} differs" for name in sorted(expected) if reached.get(name) != expected[name]]
    found += [f"{name} is left over" for name in sorted(reached.keys() - expected.keys())]
    return [*found, said, again.said] if found else []


def flip_bits(count: int, folder: Path) -> list[str]:
    """Flips single bits in copies of a checkpoint; returns what was restored that wasn't saved."""
    import jax
    import numpy as np

    from ascjax.training.checkpoints import Checkpoints

    draw, found, back = random.Random(0), [], 0
    rng = np.random.default_rng(0)
    trees = {step: {"w": rng.normal(size=(40, 30)).astype(np.float32)} for step in (1, 2)}
    with contextlib.closing(Checkpoints(folder / "whole", keep=2)) as checkpoints:
        for step, tree in trees.items():
            checkpoints.save(step, tree)
            checkpoints.end_epoch(step, {"validation/accuracy": step / 3, "validation/loss": 1.0})
    files = [path for path in (folder / "whole" / "2").rglob("*") if path.stat().st_size]
    files = [path.relative_to(folder / "whole") for path in files if path.is_file()]
    for number in range(count):
        copy = shutil.copytree(folder / "whole", folder / "flipped")
        path = copy / draw.choice(files)
        bit = draw.randrange(8 * path.stat().st_size)
        content = bytearray(path.read_bytes())
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with contextlib.redirect_stdout(None), contextlib.closing(Checkpoints(copy)) as checkpoints:
            step, tree = checkpoints.resume(trees[1]) or (0, {})
        if step == 0 or not jax.tree.all(jax.tree.map(np.array_equal, tree, trees[step])):
            found.append(f"flip {number}: bit {bit} of {path.relative_to(copy)}")
        back += step == 1
        shutil.rmtree(copy)
    print(f"flipped bits: {back} of {count} led back to the checkpoint before, {len(found)} wrong")
    return found


def main() -> int:
    """Tries moments and flips; returns the number of those that went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", action="store_true", help="six moments")
    parser.add_argument("--flips", type=int, default=0, help="how many bits to flip")
    parser.add_argument("--moments", help="only these, a,b,c")
    options = parser.parse_args()
    names = options.moments.split(",") if options.moments else FEW if options.few else None
    sys.path[:0] = [str(ROOT), str(TESTS)]
    os.environ.update(
        JAX_PLATFORMS="cpu", PYTHONPATH=f"{ROOT}{os.pathsep}{TESTS}", PYTHONHASHSEED="0"
    )
    with tempfile.TemporaryDirectory(prefix="ascjax-faults-") as base:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{base}/xla"
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        return faults(Path(base), names, options.flips)


def faults(base: Path, names: tuple[str, ...] | list[str] | None, flips: int) -> int:
    """Tries the named moments, or all, and flips that many bits."""
    # Once, for all that are forked; none of it may start a backend of JAX.
    import tensorboardX  # noqa: F401
    import tiny_set

    import ascjax.report.report
    import ascjax.runs.folds  # noqa: F401

    os.chdir(ROOT)
    tiny_set.write_set(base / "set", per_scene=8)
    chosen = [moment for moment in MOMENTS if names is None or moment.name in names]
    expected, wrong = {}, 0
    for kind in sorted({moment.command for moment in chosen}):
        whole = base / f"whole-{kind}"
        whole.mkdir()
        ended = run(command(whole, whole / "store", kind))
        if ended.code:
            raise SystemExit(f"undisturbed: exit code {ended.code}\n{ended.said}")
        expected[kind] = outcome(whole, whole / "store")
    for moment in chosen:
        folder, started_s = base / moment.name, time.monotonic()
        folder.mkdir()
        whole = base / f"whole-{moment.command}"
        found = try_moment(moment, folder, whole, expected[moment.command])
        wrong += bool(found)
        verdict = "\n  ".join(found) if found else "the same to the bit"
        took_s = time.monotonic() - started_s
        print(f"{moment.fault:5} {moment.name:17} {took_s:5.1f} s  {verdict}", flush=True)
        shutil.rmtree(folder)
    print(f"{len(chosen) - wrong} of {len(chosen)} moments end as an undisturbed training")
    if flips:
        (base / "flips").mkdir()
        flipped = flip_bits(flips, base / "flips")
        print("\n".join(flipped))
        wrong += len(flipped)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
