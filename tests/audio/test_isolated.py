import os
import signal

import pytest

from ascjax.audio import isolated
from ascjax.audio.errors import BadRecording, bad_recording
from ascjax.errors import UserError


def read(path):
    """As a decoder that a file may end."""
    if path.stem == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem == "bad":
        raise bad_recording(path, "no sound")
    print("noise that a decoder writes")
    return path.stem


def test_a_crash_costs_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "MIN_FILES", 1)
    paths = [tmp_path / f"{name}.wav" for name in ("crash", "a", "bad", "b", "crash", "c")]
    answers = list(isolated.each(read, paths))
    assert [a for a in answers if isinstance(a, str)] == ["a", "b", "c"]
    errors = {index: a for index, a in enumerate(answers) if isinstance(a, BadRecording)}
    assert list(errors) == [0, 2, 4]
    assert str(errors[2]) == f"{tmp_path}/bad.wav: no sound"
    assert str(errors[4]).startswith(f"{tmp_path}/crash.wav: ends the process that decodes it (SIG")


def test_what_is_no_longer_asked_for_ends_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "MIN_FILES", 1)
    answers = isolated.each(read, [tmp_path / "a.wav"] * 1_000)
    assert next(answers) == "a"
    answers.close()


def test_a_process_that_cannot_start_is_no_fault_of_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "MIN_FILES", 1)
    monkeypatch.setattr(isolated, "_SERVE", "raise SystemExit(3)")
    with pytest.raises(UserError, match=r"can't start .its status is 3.; try"):
        list(isolated.each(read, [tmp_path / "a.wav"]))


def test_few_files_are_read_here(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "_SERVE", "raise SystemExit(3)")
    assert list(isolated.each(read, [tmp_path / "a.wav"])) == ["a"]
