"""Decoding through a stand-in for ffmpeg that writes known samples."""

import os
import sys

import numpy as np
import pytest
from audio_files import tones

from ascjax.audio import ffmpeg, wave
from ascjax.audio.wave import BadRecording
from ascjax.audio.windows import windows

PROGRAM = """#!{python}
import os, struct, sys, time
path = sys.argv[sys.argv.index("-i") + 1]
assert path.startswith("file:") and sys.argv[-3:] == ["-f", "au", "pipe:1"], sys.argv
assert "-nostdin" in sys.argv and "file,pipe" in sys.argv
data = open(path[5:], "rb").read()
out = sys.stdout.buffer
if b"no audio" in data:
    sys.exit("[x @ 0x1] first\\n[in @ 0x5f] Invalid data")
out.write(struct.pack(">4s5I", b".snd", 32, 0xFFFFFFFF, 6, 48000, 2) + bytes(8))
out.write(data[data.index(b"samples:") + 8:])
out.flush()
if b"stops" in data:
    time.sleep(60)
if b"breaks" in data:
    sys.exit("broken in the middle")
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A stand-in on the path; it reads files that hold the samples to write."""
    (tmp_path / "bin").mkdir()
    file = tmp_path / "bin" / "ffmpeg"
    file.write_text(PROGRAM.format(python=sys.executable))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def write(path, samples, head=b""):
    path.write_bytes(head + b"samples:" + samples.T.astype(">f4").tobytes())
    return path


def test_samples_come_through(tmp_path, program):
    samples = tones(30_000)
    path = write(tmp_path / "a.m4a", samples)
    assert wave.probe(path) == wave.Info(48_000, 30_000, 2)
    read, rate = wave.read(path)
    assert rate == 48_000
    np.testing.assert_array_equal(read, samples)
    part, _ = wave.read(path, start_s=0.25, duration_s=0.25)
    np.testing.assert_array_equal(part, samples[:, 12_000:24_000])
    found = list(windows(path, sample_rate_hz=48_000, window_samples=20_000, hop_samples=20_000))
    assert [window.samples.shape[1] for window in found] == [20_000, 10_000]


def test_files_are_taken_by_their_first_bytes_too(tmp_path, program):
    samples = tones(1_000)
    path = write(tmp_path / "a.wav", samples, b"\0\0\0\x20ftypM4A ")
    np.testing.assert_array_equal(wave.read(path)[0], samples)


def test_names_that_look_like_options(tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "-y.m4a", tones(1_000))
    assert wave.read("-y.m4a")[0].shape == (2, 1_000)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"no audio", r"ffmpeg can't decode it \(Invalid data\)"),
        (b"breaks", "broken in the middle"),
    ],
)
def test_errors_are_one_line(tmp_path, program, head, reason):
    path = write(tmp_path / "a.m4a", tones(1_000), head)
    with pytest.raises(BadRecording, match=reason) as error:
        wave.read(path)
    assert "\n" not in str(error.value)


def test_no_samples(tmp_path, program):
    path = write(tmp_path / "a.m4a", tones(0))
    for reader in (wave.probe, wave.read):
        with pytest.raises(BadRecording, match="holds no samples"):
            reader(path)


def test_samples_that_are_no_numbers(tmp_path, program):
    path = write(tmp_path / "a.m4a", np.full((2, 5), np.nan))
    with pytest.raises(BadRecording, match="10 of 10 samples are NaN"):
        wave.read(path)


def test_a_decoder_that_stops_is_ended(tmp_path, program, monkeypatch):
    path = write(tmp_path / "a.m4a", tones(1_000), b"stops")
    monkeypatch.setattr(ffmpeg, "TIMEOUT_S", 1)
    with pytest.raises(BadRecording, match="ffmpeg gave nothing for 1 s"):
        wave.read(path)


def test_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = write(tmp_path / "a.m4a", tones(10))
    with pytest.raises(BadRecording, match="a.m4a: needs ffmpeg, which isn't installed: install"):
        wave.probe(path)
