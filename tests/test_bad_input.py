"""The bad-input catalogue: every command on what users and their disks may hand it.

Each case of `bad_input_cases.CASES` ends with its exit code and one or two lines that say what is
wrong; nothing is written, and nothing changes in the folders given.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import bad_input_files
import pytest
from bad_input_cases import CASES, TRAIN

from ascjax import __main__ as ascjax

ROOT = Path(__file__).parents[1]
NAMES = [command.replace(TRAIN, "train ")[:80] for command, _ in CASES]


@pytest.fixture(scope="module")
def world(tmp_path_factory, finished_run) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    bad_input_files.make(folder, *finished_run)
    return folder


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every file, folder and link below ``folder``, with size and time of change."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            status = os.lstat(path)
            changed = status.st_ino, status.st_size, status.st_mtime_ns
            # A folder changes when it is tried whether one may write there.
            found[path] = changed[:1] if os.path.isdir(path) else changed
    return found


def words_of(command: str, world: Path) -> list[str]:
    config = Path(__file__).with_name("tiny_config.py")
    places = {"w": world, "tiny": config, "set": world / "set", "run": world / "runs/good"}
    places["wav"] = world / "set/bus/1-000-A.wav"
    return [word.format(**places).replace("␣", " ") for word in command.split()]


def check(code: int, pattern: str, error: str, world: Path, before: dict, here: Path) -> None:
    assert code == 2, error
    assert "Traceback" not in error
    assert 1 <= len(error.splitlines()) <= 2, error
    assert re.search(pattern, error), error
    assert state(world) == before
    # A folder that the run would have taken may stay, empty but for the lock on it, and what was
    # found of copies before training was refused.
    left = [path.name for path in here.rglob("*") if path.is_file()]
    assert set(left) <= {".lock", "copies.json"}


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(("command", "pattern"), CASES, ids=NAMES)
def test_bad_input(command, pattern, world, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ascjax", *words_of(command, world)])
    before = state(world)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as ended:
            ascjax.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    check(ended.value.code, pattern, capfd.readouterr().err, world, before, tmp_path)


@pytest.mark.parametrize("index", range(0, len(CASES), 60))
def test_some_in_processes_of_their_own(index, world, tmp_path):
    command, pattern = CASES[index]
    before = state(world)
    done = subprocess.run(
        [sys.executable, "-m", "ascjax", *words_of(command, world)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    check(done.returncode, pattern, done.stderr, world, before, tmp_path)


def test_there_are_enough():
    assert len(CASES) == len(dict(CASES)) >= 90
    assert {command.split()[0] for command, _ in CASES} >= ascjax.COMMANDS.keys()
