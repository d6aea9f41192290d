"""Fuzzes the readers with atheris: coverage-guided, each target in a process of its own.

  python tests/fuzz/fuzz.py --runs=1000000 [--target=wav] [--out=fuzz]
  python tests/fuzz/fuzz.py --seconds=60

A fault's input is kept in OUT/TARGET, named by what it raised and where; a process that is killed
(a crash of a decoder, too much memory, a hang) leaves its input there too and is started again. The
exit code is 1 if anything was found. What is found goes, as small as can be, into fuzz_seeds.py.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

# Shares of the executions. Libraries that parse in C take most.
SHARES = {
    "wav": 20, "flac": 10, "ogg": 10, "mp3": 10, "table": 12, "folds": 10, "run": 8, "npz": 8,
    "safetensors": 8, "torch": 4,
}  # fmt: skip
MAX_BYTES = 8_192
MAX_RSS_MB = 1_500
TIMEOUT_S = 20
MAX_RESTARTS = 20


def main() -> int:
    """Fuzzes every target; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=0, help="executions, of all targets together")
    parser.add_argument("--seconds", type=float, default=0, help="time, of all targets together")
    parser.add_argument("--target", choices=SHARES, help="one target alone")
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="folder of what is found")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.runs and not options.seconds:
        parser.error("expected --runs or --seconds")
    if options.child:
        fuzz(options.target, options.runs, options.seconds, options.out)
    names = [options.target] if options.target else list(SHARES)
    whole = sum(SHARES[name] for name in names)
    found = 0
    print(f"{'target':12} {'executions':>10} {'seconds':>8}  found")
    for name in names:
        share = SHARES[name] / whole
        runs, seconds = round(share * options.runs), share * options.seconds
        begin_s, folder = time.monotonic(), options.out / name
        done, status = supervise(name, runs, seconds, folder)
        faults = sorted(path.name for path in folder.glob("*-*"))
        if status or not done:
            faults.append(f"it ended with status {status}, see {folder / 'log'}")
        found += len(faults)
        spent_s = time.monotonic() - begin_s
        print(f"{name:12} {done:10,} {spent_s:8.0f}  {', '.join(faults) or 'nothing'}", flush=True)
    return 1 if found else 0


def supervise(name: str, runs: int, seconds: float, folder: Path) -> tuple[int, int]:
    """Fuzzes a target in processes of its own until it is done.

    Returns:
      The executions, and the last process's exit status.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = folder / "count"
    done, status, end_s = 0, 0, time.monotonic() + seconds
    for _ in range(MAX_RESTARTS):
        count.write_text("0")
        left = (
            ["--runs", str(runs - done)] if runs else ["--seconds", f"{end_s - time.monotonic()}"]
        )
        with (folder / "log").open("ab") as log:
            command = [sys.executable, __file__, "--child", "--target", name, "--out", folder]
            command += left
            # Decoders say what they think of a file; none of it is needed here.
            status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        done += int(count.read_text())
        if status == 0 or (runs and done >= runs) or (seconds and time.monotonic() > end_s):
            break
    return done, status


def fuzz(name: str, runs: int, seconds: float, folder: Path) -> None:
    """Fuzzes a target in this process, which ends with it."""
    import atheris

    os.environ["PATH"] = ""  # no ffmpeg: a process for each input
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    sys.modules.pop("zipfile", None)  # to be imported again, and followed
    with atheris.instrument_imports(include=["ascjax", "soundfile", "zipfile", "numpy.lib"]):
        from fuzz_targets import TARGETS

        target = TARGETS[name]
        read = target.make()
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for data in [*target.seeds(), *target.failed()]:
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    count = 0

    def once(data: bytes) -> None:
        nonlocal count
        count += 1
        if count % 100 == 0:
            (folder / "count").write_text(str(count))
        try:
            read(data)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            last = [frame for frame in frames if "fuzz_" not in frame.filename] or frames
            place = f"{Path(last[-1].filename).stem}-{last[-1].lineno}"
            (folder / f"{type(error).__name__}-{place}").write_bytes(data)

    limits = [f"-max_len={MAX_BYTES}", f"-rss_limit_mb={MAX_RSS_MB}", f"-timeout={TIMEOUT_S}"]
    # By time, as in CI, always the same inputs: what fails there fails again.
    by_time = ["-seed=1", f"-max_total_time={max(1, round(seconds))}"]
    limits += [f"-runs={runs}"] if runs else by_time
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
