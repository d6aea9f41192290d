import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import tiny_set

from ascjax.audio import wave
from ascjax.audio.logmel import LogMel
from ascjax.data import dataset, extract, rows, store
from ascjax.data.rows import DONE, MISSING, read_bad
from ascjax.errors import UserError
from ascjax.files import exclusive
from ascjax.signals import Stopped, StopRequest

FRONT_END = LogMel(sample_rate_hz=tiny_set.RATE_HZ, num_mels=40)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_set.write_set(tmp_path_factory.mktemp("set"), per_scene=4)


def listed(root):
    return dataset.load(root).recordings


def prepare(root, store_dir, **options):
    settings = {
        "front_end": FRONT_END, "channels": ("left", "average"), "duration_s": 2.0,
        "store_dir": store_dir, "num_workers": 1,
    }  # fmt: skip
    return store.prepare(listed(root), **{**settings, **options})


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The complete store of ``tiny``, to be read."""
    return prepare(tiny, tmp_path_factory.mktemp("stores"), num_workers=2)


@pytest.fixture
def made(tiny, whole, tmp_path, monkeypatch):
    """A copy of it in ``tmp_path``, to be changed."""
    shutil.copytree(whole.path, tmp_path / whole.path.name)
    with monkeypatch.context() as patched:
        patched.setattr(store, "ProcessPoolExecutor", None)  # it isn't made again
        return prepare(tiny, tmp_path)


class StopOnceSomeAreDone(StopRequest):
    """As Ctrl-C in the middle."""

    def check(self, where):
        if "(0 of" not in where:
            raise Stopped(where)


def test_rows_are_the_log_mels_of_the_recordings_in_order(tiny, whole):
    assert whole.log_mel.shape == (12, 2, 40, FRONT_END.num_frames(32000))
    assert isinstance(whole.log_mel, np.memmap)
    assert whole.usable.all()
    for row in (0, 7, 11):
        samples, _ = wave.read(listed(tiny)[row].path)
        expected = FRONT_END.reference(wave.to_channels(samples, ("left", "average")))
        np.testing.assert_allclose(whole.log_mel[row], expected, atol=1e-4)
    rows = np.load(whole.path / "rows.npy")
    assert rows["crc32"].tolist() == [zlib.crc32(row.tobytes()) for row in whole.log_mel]


def test_a_complete_store_is_read_and_not_made_again(tiny, whole, monkeypatch):
    monkeypatch.setattr(store, "ProcessPoolExecutor", None)
    assert prepare(tiny, whole.path.parent).path == whole.path


@pytest.mark.parametrize(
    "change",
    [
        {"front_end": replace(FRONT_END, num_mels=41)},
        {"front_end": replace(FRONT_END, log_floor=1e-4)},
        {"channels": ("average", "left")},
        {"duration_s": 1.5},
    ],
)
def test_a_changed_setting_never_reads_an_old_store(tiny, made, tmp_path, change):
    new = prepare(tiny, tmp_path, **change)
    assert new.path != made.path
    assert new.usable.all()


def test_a_changed_file_never_reads_an_old_store(tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "set")
    old = prepare(root, tmp_path / "store")
    os.utime(listed(root)[3].path, (1, 1))
    assert prepare(root, tmp_path / "store").path != old.path


def test_stopped_in_the_middle_it_goes_on_without_redoing_what_is_done(tiny, whole, tmp_path):
    with pytest.raises(Stopped, match=r"while extracting features \(\d+ of 12"):
        prepare(tiny, tmp_path / "part", stop=StopOnceSomeAreDone(), num_workers=2)
    (path,) = (tmp_path / "part").iterdir()
    before = np.load(path / "rows.npy")
    done = before["state"] == DONE
    # The chunk that was told of and the ones that workers were at: more than one, not all.
    assert 1 < done.sum() < 12
    # Rows that count as done must not be written again: their files are made unreadable.
    originals = {}
    for row in np.flatnonzero(done):
        file = listed(tiny)[row].path
        originals[file] = (file.read_bytes(), file.stat())
        content, stat = originals[file]
        file.write_bytes(b"x" * len(content))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    try:
        made = prepare(tiny, tmp_path / "part")
    finally:
        for file, (content, stat) in originals.items():
            file.write_bytes(content)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    np.testing.assert_array_equal(made.log_mel, whole.log_mel)


def test_killed_it_leaves_no_workers_and_goes_on(tiny, tmp_path):
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]!r}
if __name__ == "__main__":
    from pathlib import Path
    from ascjax.audio.logmel import LogMel
    from ascjax.data import extract, dataset, store
    store.prepare(dataset.load({str(tiny)!r}).recordings, channels=("left", "average"),
        front_end=LogMel(sample_rate_hz=16000, num_mels=40), duration_s=2.0,
        store_dir=Path({str(tmp_path)!r}), num_workers=2)
"""
    script = tmp_path / "extract.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
    while len(workers := psutil.Process(parent.pid).children()) < 3:  # and a resource tracker
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    assert prepare(tiny, tmp_path).usable.all()


class EndedByLoud(LogMel):
    """A front end in place of a decoder's fault: a loud recording ends the process."""

    def compute(self, wave, shares):
        if np.abs(wave).max() > 0.9:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().compute(wave, shares)


@pytest.mark.slow
def test_a_recording_that_ends_its_worker_is_a_bad_file(tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "set")
    for name in ("bus/1-000-A.wav", "tram/2-003-A.wav"):
        soundfile.write(root / name, np.full((32_000, 2), 0.99), tiny_set.RATE_HZ)
    front_end = EndedByLoud(sample_rate_hz=tiny_set.RATE_HZ, num_mels=40)
    made = prepare(root, tmp_path, front_end=front_end, on_bad_file="skip", num_workers=2)
    assert sorted(made.bad) == ["bus/1-000-A.wav", "tram/2-003-A.wav"]
    assert "ends the process that decodes it" in made.bad["bus/1-000-A.wav"]
    assert made.usable.sum() == len(made.usable) - 2
    with pytest.raises(wave.BadRecording, match="1-000-A.wav: ends the process"):
        prepare(root, tmp_path, front_end=front_end, on_bad_file="stop", num_workers=2)


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def bits(path):
    """The first bit of an array's values in its file, and how many there are."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return 8 * file.tell(), 8 * (path.stat().st_size - file.tell())


@pytest.mark.parametrize("name", ["log_mel.npy", "rows.npy"])
def test_no_flipped_bit_is_read(tiny, whole, made, tmp_path, capsys, name):
    first, count = bits(made.path / name)
    for bit in (first, first + count // 3, first + count - 1):
        flip(made.path / name, bit)
    again = prepare(tiny, tmp_path)
    assert again.usable.all()
    np.testing.assert_array_equal(again.log_mel, whole.log_mel)
    np.testing.assert_array_equal(*(np.load(s.path / "rows.npy") for s in (again, whole)))
    if name == "log_mel.npy":
        said = "features of 3 recordings are damaged, e.g. bus/1-000-A.wav; they are extracted"
        assert said in capsys.readouterr().out


def test_what_an_unfinished_store_lacks_is_made(tiny, whole, made, tmp_path):
    table = np.load(made.path / "rows.npy", mmap_mode="r+")
    table["state"][2] = MISSING
    table["state"][5] = 77
    table.flush()
    np.testing.assert_array_equal(prepare(tiny, tmp_path).log_mel, whole.log_mel)


@pytest.mark.parametrize("content", ["[]", "{", '{"x": 1}', "\x00", None])
def test_damaged_reasons_are_made_anew(tiny, made, tmp_path, capsys, content):
    path = made.path / "bad.json"
    path.unlink() if content is None else path.write_text(content)
    assert read_bad(made.path) == {}
    assert f"{path}: damaged" in capsys.readouterr().out
    assert prepare(tiny, tmp_path, on_bad_file="skip").bad == {}
    assert json.loads(path.read_text()) == {}


def replace(old, new):
    """Returns a function that replaces bytes of a header."""

    def damage(path):
        content = path.read_bytes()
        assert old in content[:128]
        path.write_bytes(content.replace(old, new, 1))

    return damage


def make_zip(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


DAMAGES = [
    make_zip,
    lambda path: path.write_bytes(b"PK\3\4" + bytes(200)),
    replace(b"(12,", b" 12,"),
    replace(b"'shape'", b"'shape "),
    replace(b"(12,", b"(-1,"),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"\x00" * 200),
    lambda path: np.save(path, np.zeros((12, 2))),
    lambda path: np.save(path, np.array([{}], object)),
    lambda path: flip(path, 8 * path.read_bytes().index(b"(12,") + 8),  # (02, or (32,
]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("log_mel.npy", Path.unlink),
        ("log_mel.npy", lambda path: os.truncate(path, path.stat().st_size - 1)),
        *((name, damage) for name in ("log_mel.npy", "rows.npy") for damage in DAMAGES),
    ],
)
def test_a_damaged_array_is_named(tiny, made, tmp_path, name, damage):
    damage(made.path / name)
    with pytest.raises(
        UserError, match=rf"{made.path}/{name}: the feature store is damaged \(expected .* anew$"
    ) as error:
        prepare(tiny, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["log_mel.npy", "rows.npy"])
def test_a_disk_that_fills_up_leaves_no_half_of_a_store(tiny, whole, tmp_path, monkeypatch, name):
    reserve, reserved = os.posix_fallocate, []

    def full(descriptor, offset, length):
        reserved.append(length)
        if len(reserved) == 1 + (name == "rows.npy"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(descriptor, offset, length)

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(UserError, match=rf"/{name}: cannot keep .*No space.* free some space"):
            prepare(tiny, tmp_path)
    (path,) = tmp_path.iterdir()
    assert not list(path.glob("*.partial"))
    np.testing.assert_array_equal(prepare(tiny, tmp_path).log_mel, whole.log_mel)


def test_a_bad_file_stops_with_its_name_or_is_left_out_and_listed(tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "set")
    bad = listed(root)[4]
    samples, rate = wave.read(bad.path)
    samples[0, 100] = np.nan
    soundfile.write(bad.path, samples.T, rate, subtype="FLOAT")
    with pytest.raises(wave.BadRecording, match=f"{bad.path}.*NaN"):
        prepare(root, tmp_path / "store", num_workers=2)
    made = prepare(root, tmp_path / "store", on_bad_file="skip")
    assert list(made.bad) == [bad.name]
    assert "NaN" in made.bad[bad.name]
    assert np.flatnonzero(~made.usable).tolist() == [4]
    assert list(prepare(root, tmp_path / "store", on_bad_file="skip").bad) == [bad.name]
    with pytest.raises(wave.BadRecording, match="NaN"):
        prepare(root, tmp_path / "store")


def test_short_recordings_are_repeated_and_very_short_ones_refused(tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "set")
    short = listed(root)[1].path
    tiny_set.write_wave(short, seconds=1.2)
    once, _ = wave.read(short)
    made = prepare(root, tmp_path / "store")
    again = np.concatenate([once, once], axis=1)[:, :32000]
    expected = FRONT_END.reference(wave.to_channels(again, ("left", "average")))
    np.testing.assert_allclose(made.log_mel[1], expected, atol=1e-4)
    with pytest.raises(wave.BadRecording, match=r"1\.20 s long, too short: expected at least 0\.9"):
        prepare(root, tmp_path / "store", min_duration_share=0.9)


def test_another_process_on_the_same_store_is_told_to_wait(tiny, made, tmp_path):
    with (
        exclusive(made.path, "extracting"),
        pytest.raises(UserError, match=f"{made.path}: another process is extracting"),
    ):
        prepare(tiny, tmp_path)


def test_a_row_is_written_whole_however_little_one_call_writes(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(extract.os, "pwrite", lambda f, data, at: write(f, data[:3], at))
    with (tmp_path / "file").open("wb") as file:
        extract._write(file.fileno(), b"0123456789", 2)
    assert (tmp_path / "file").read_bytes() == b"\0\x000123456789"


def test_an_unreadable_header_stays_left_out(tiny, tmp_path, monkeypatch):
    name = listed(tiny)[2].name
    known_bad = {name: "unreadable"}
    skipped = prepare(tiny, tmp_path, on_bad_file="skip", known_bad=known_bad)
    assert skipped.bad == known_bad
    assert np.flatnonzero(~skipped.usable).tolist() == [2]
    with monkeypatch.context() as patched:
        patched.setattr(store, "ProcessPoolExecutor", None)  # nothing is extracted
        again = prepare(tiny, tmp_path, on_bad_file="skip", known_bad=known_bad)
    assert (again.path, again.bad) == (skipped.path, known_bad)


@pytest.mark.parametrize("on_bad_file", ["stop", "skip"])
def test_what_has_become_readable_is_used(tiny, tmp_path, on_bad_file):
    known_bad = {listed(tiny)[2].name: "needs ffmpeg"}
    skipped = prepare(tiny, tmp_path, on_bad_file="skip", known_bad=known_bad)
    whole = prepare(tiny, tmp_path, on_bad_file=on_bad_file)
    assert (whole.path, whole.usable.all(), whole.bad) == (skipped.path, True, {})


def test_a_script_without_a_guard_is_not_run_by_workers(tiny, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from ascjax.audio.logmel import LogMel\n"
        "from ascjax.data import dataset, store\n"
        "print('once')\n"
        f"listed = dataset.load(Path({str(tiny)!r}))\n"
        f"store.prepare(listed.recordings[:4], front_end={FRONT_END!r}, channels=('left',),\n"
        f"    duration_s=2.0, store_dir=Path({str(tmp_path / 'store')!r}), num_workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "once\n"


def test_a_store_that_cannot_be_written_or_does_not_fit_is_said(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/.*cannot be written"):
        prepare(tiny, tmp_path / "file")
    monkeypatch.setattr(rows.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))
    with pytest.raises(UserError, match=r"need 0\.0 GB and 0\.0 GB are free"):
        prepare(tiny, tmp_path / "store")


def test_the_scan_reads_headers_and_leaves_out_what_has_none(tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "set")
    tiny_set.write_wave(listed(root)[0].path, seconds=3.0, rate_hz=8000)
    listed(root)[1].path.write_text("no sound")
    with pytest.raises(wave.BadRecording):
        store.scan(listed(root), on_bad_file="stop")
    infos, bad = store.scan(listed(root), on_bad_file="skip")
    assert (infos[0].sample_rate_hz, infos[0].duration_s) == (8000, 3.0)
    assert (infos[2].sample_rate_hz, infos[2].duration_s) == (16000, 2.0)
    assert list(bad) == [listed(root)[1].name]


def test_settings_are_written_for_people(whole):
    settings = json.loads((whole.path / "settings.json").read_text())
    assert settings["front_end"]["num_mels"] == 40
    assert settings["channels"] == ["left", "average"]
