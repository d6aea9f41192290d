import os
from pathlib import Path

import pytest

from ascjax.data import duplicates
from ascjax.data.duplicates import Copies
from ascjax.data.listing import Recording


@pytest.fixture
def write(tmp_path):
    """Writes files of these bytes and returns their recordings."""

    def write(**contents: bytes) -> list[Recording]:
        recordings = []
        for name, content in contents.items():
            path = tmp_path / name
            path.write_bytes(content)
            recordings.append(Recording(name, path, "bus"))
        return recordings

    return write


def named(recording: Recording, path: Path) -> Recording:
    return Recording(str(path), path, recording.scene)


def test_other_spellings_and_links_are_one_file(write, tmp_path):
    first, second = write(a=b"a", b=b"b")
    os.symlink("a", tmp_path / "link")
    os.link(tmp_path / "b", tmp_path / "hard")
    listed = [
        first,
        second,
        named(first, tmp_path / "." / ".." / tmp_path.name / "a"),
        named(first, tmp_path / "link"),
        named(second, tmp_path / "hard"),
    ]
    assert duplicates.find(listed) == [Copies("file", (0, 2, 3)), Copies("file", (1, 4))]


def test_equal_bytes(write):
    long = bytes(range(256)) * 1024
    changed = bytearray(long)
    changed[7] ^= 1  # outside of what is compared first
    recordings = write(a=long, b=bytes(changed), c=long, d=long + b"x", e=b"x", f=b"y", g=long)
    assert duplicates.find(recordings) == [Copies("bytes", (0, 2, 6))]


def test_empty_files_are_no_copies(write):
    assert duplicates.find(write(a=b"", b=b"")) == []


def test_same_samples_are_those_not_known_to_be_the_same():
    digests = {0: "x", 1: "x", 2: "y", 3: "x", 4: "y"}
    known = [Copies("bytes", (0, 1))]
    assert duplicates.same_samples(digests, known) == [
        Copies("samples", (0, 3)),
        Copies("samples", (2, 4)),
    ]


def test_pipes_devices_and_links_to_nowhere_are_no_copies(write, tmp_path):
    first, second = write(a=b"a", b=b"a")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe2")
    for name, target in (("zero", "/dev/zero"), ("null", "/dev/null"), ("loop", "loop")):
        os.symlink(target, tmp_path / name)
    others = [named(first, tmp_path / n) for n in ("pipe", "pipe2", "zero", "null", "loop", "no")]
    assert duplicates.find([*others, first, second]) == [Copies("bytes", (6, 7))]
