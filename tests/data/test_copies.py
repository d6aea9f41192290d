"""Copies and leaks of every kind in sets of real files, and what training does about them."""

import dataclasses
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import tiny_set

from ascjax.audio import wave
from ascjax.audio.quality import Quality
from ascjax.audio.wave import Info
from ascjax.data import copies, store
from ascjax.data.copies import _joined
from ascjax.data.dataset import load
from ascjax.data.duplicates import Copies
from ascjax.data.inspection import Inspection
from ascjax.errors import UserError
from ascjax.setup import find_leaks, survey
from ascjax.signals import Stopped, StopRequest

GOOD = Inspection(Quality(0.5, -20.0, 0.0, False, False), 0.0, False, "a", np.zeros(0, np.uint32))


def crash_on_the_second(path, **options):
    """As a decoder that a file may end."""
    if path.name == "1-2.wav":
        os.abort()
    return GOOD


def test_a_decoder_that_dies_costs_one_recording(clean, monkeypatch):
    monkeypatch.setattr(copies.isolated, "MIN_FILES", 1)
    monkeypatch.setattr(copies, "_inspect", crash_on_the_second)
    recordings = load(clean).recordings
    infos = {index: Info(16_000, 1, 32_000) for index in range(len(recordings))}
    heard, unreadable = copies.listen(recordings, infos)
    assert sorted(unreadable) == ["bus/1-2.wav", "park/1-2.wav"]
    assert "ends the process that decodes it" in unreadable["bus/1-2.wav"]
    assert len(heard) == 6


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Eight recordings, each a sound of its own, in two folds."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("clean") / "set"
    for scene in ("bus", "park"):
        (root / scene).mkdir(parents=True)
        for i in range(4):
            # Noise whose colour wanders, so that its fingerprint says something.
            noise = rng.normal(size=2 * 16_000)
            noise *= 0.1 + 0.1 * np.sin(np.arange(len(noise)) / rng.uniform(300, 3000)) ** 2
            soundfile.write(root / scene / f"{1 + i % 2}-{i}.wav", 0.3 * noise, 16_000)
    return root


def same_file(root):
    os.link(root / "bus/1-0.wav", root / "bus/2-9.wav")


def through_a_link(root):
    (root / "bus/2-9.wav").symlink_to("../bus/1-0.wav")


def same_bytes(root):
    shutil.copy(root / "bus/1-0.wav", root / "bus/2-9.wav")


def another_format(root):
    samples, rate = soundfile.read(root / "bus/1-0.wav", dtype="int16")
    soundfile.write(root / "bus/2-9.flac", samples, rate, subtype="PCM_16")


def shifted(root):
    samples, rate = soundfile.read(root / "bus/1-0.wav")
    soundfile.write(root / "bus/2-9.wav", 0.6 * samples[3_003:30_000], rate)


def encoded(root):
    samples, rate = soundfile.read(root / "bus/1-0.wav")
    soundfile.write(root / "bus/2-9.ogg", samples, rate)


def encoded_elsewhere(root):
    """A copy by a lossy codec, under another label."""
    samples, rate = soundfile.read(root / "bus/1-0.wav")
    soundfile.write(root / "park/1-9.mp3", samples[1_000:], rate)


def two_labels(root):
    shutil.copy(root / "bus/1-0.wav", root / "park/1-9.wav")


LEAKS = {
    same_file: "the same file under several names in the training and the test part of fold 1",
    through_a_link: "the same file under several names in the training and the test part of fold 1",
    same_bytes: "files with the same bytes in the training and the test part of fold 1",
    another_format: "files with the same samples in the training and the test part of fold 1",
    shifted: "excerpts of the same sound in the training and the test part of fold 1",
    encoded: "excerpts of the same sound in the training and the test part of fold 1",
    encoded_elsewhere: "excerpts of the same sound under several labels",
    two_labels: "files with the same bytes under several labels",
}


def leaks_of(tmp_path, root, **more):
    config = tiny_set.config(tmp_path, root, **more)
    with StopRequest() as stop:
        return find_leaks(config, survey(config, stop), stop)


@pytest.mark.parametrize("kind", LEAKS, ids=lambda kind: kind.__name__)
def test_each_kind_is_said_or_stops_training(clean, tmp_path, capsys, kind):
    root = shutil.copytree(clean, tmp_path / "set")
    kind(root)
    [leak] = leaks_of(tmp_path, root)
    assert LEAKS[kind] in leak
    assert "bus/1-0.wav (" in leak
    assert capsys.readouterr().out.endswith(f"{leak}\n")
    with pytest.raises(UserError, match=r"config\.data\.on_leak: (leak|contra)") as said:
        leaks_of(tmp_path, root, **{"data.on_leak": "stop"})
    message = str(said.value)
    assert LEAKS[kind] in message
    sides = ("(bus)", "(park)") if "labels" in LEAKS[kind] else ("(test)", "(training)")
    assert all(side in message for side in sides)
    assert message.count("\n") == 1
    assert "--config.data.on_leak=warn" in message


def test_a_table_with_other_spellings_of_a_path_and_locations_on_both_sides(clean, tmp_path):
    paths = [str(path) for path in sorted(clean.rglob("*.wav"))]
    spelt = str(clean / "park" / ".." / "bus" / "1-0.wav")
    rows = [f"{path},{path.split('/')[-2]},{1 + i % 2},place {i}" for i, path in enumerate(paths)]
    table = tmp_path / "set.csv"

    def with_rows(*more):
        table.write_text("\n".join(["path,scene,fold,location", *rows, *more]))
        return leaks_of(tmp_path, table)

    assert with_rows() == ()
    [leak] = with_rows(f"{spelt},bus,2,elsewhere")
    assert "the same file under several names in the training and the test part" in leak
    [leak] = with_rows(f"{tiny_set.write_wave(tmp_path / 'x.wav')},bus,2,place 0")
    assert "recordings of the same location in the training and the test part of fold 1" in leak


def test_a_set_without_leaks_trains(clean, tmp_path):
    assert leaks_of(tmp_path, clean, **{"data.on_leak": "stop"}) == ()


def test_a_set_is_listened_to_once(clean, tmp_path, monkeypatch):
    root = shutil.copytree(clean, tmp_path / "set")
    same_bytes(root)
    recordings = load(root).recordings
    infos, _ = store.scan(recordings, on_bad_file="stop")

    def find():
        with StopRequest() as stop:
            return copies.find_once(recordings, infos, tmp_path / "store", stop)

    first = find()
    assert [each.kind for each in first] == ["bytes"]
    [kept] = (tmp_path / "store").glob("copies-*/copies.json")
    with monkeypatch.context() as patch:
        patch.setattr(copies, "listen", None)
        assert find() == first
    whole = kept.read_text()
    for damaged in ("{", whole.replace("2", "3", 1), whole.replace("0,", "999,", 1)):
        kept.write_text(damaged)
        assert find() == first
    os.utime(root / "bus/1-0.wav", ns=(1, 1))
    assert find() == first
    assert len(list((tmp_path / "store").glob("copies-*/copies.json"))) == 2


def test_two_runs_listen_once_and_the_second_says_what_it_waits_for(
    clean, tmp_path, monkeypatch, capsys
):
    recordings = load(clean).recordings
    infos, _ = store.scan(recordings, on_bad_file="stop")
    listening, go_on, heard, listen = threading.Event(), threading.Event(), [], copies.listen

    def slowly(*args, **options):
        heard.append(args)
        listening.set()
        assert go_on.wait(20)
        return listen(*args, **options)

    class Asked(StopRequest):
        def check(self, where):
            go_on.set()  # the second has found the lock held

    monkeypatch.setattr(copies, "listen", slowly)
    with ThreadPoolExecutor(1) as pool, StopRequest() as stop:
        first = pool.submit(copies.find_once, recordings, infos, tmp_path, stop)
        assert listening.wait(20)
        second = copies.find_once(recordings, infos, tmp_path, Asked())
        assert second == first.result()
    assert len(heard) == 1
    said = capsys.readouterr().out
    assert re.search(
        r"waiting for another process, which is looking for copies in .*/copies-", said
    )


def test_a_stop_is_heard_while_listening(clean):
    recordings = load(clean).recordings
    infos, _ = store.scan(recordings, on_bad_file="stop")
    stop = StopRequest()
    stop.signal = 15
    with pytest.raises(Stopped, match="while looking for copies"):
        copies.listen(recordings, infos, stop=stop)


def test_what_cannot_be_decoded_has_a_reason(clean, tmp_path):
    root = shutil.copytree(clean, tmp_path / "set")
    samples, rate = soundfile.read(root / "bus/1-0.wav")
    soundfile.write(root / "bus/2-9.flac", samples, rate)
    content = bytearray((root / "bus/2-9.flac").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4_000] = bytes(4_000)
    (root / "bus/2-9.flac").write_bytes(content)
    recordings = load(root).recordings
    infos = {i: wave.probe(each.path) for i, each in enumerate(recordings)}
    inspections, reasons = copies.listen(recordings, infos)
    assert list(reasons) == ["bus/2-9.flac"]
    assert len(inspections) == 8


def test_the_same_samples_have_the_same_rate(tmp_path):
    recordings = load(tiny_set.write_set(tmp_path / "set", per_scene=2)).recordings
    infos = {i: Info(16_000, 32_000, 1) for i in range(6)}
    inspections = {i: dataclasses.replace(GOOD, digest=str(i % 5)) for i in range(6)}
    assert copies.find(recordings, infos, inspections) == [Copies("samples", (0, 5))]
    assert copies.find(recordings, infos | {5: Info(8_000, 32_000, 1)}, inspections) == []


def test_copies_of_copies_are_one_group():
    found = [Copies("bytes", (0, 1)), Copies("samples", (0, 2)), Copies("excerpt", (2, 3))]
    assert [each.members for each in _joined(found)] == [(0, 1), (0, 1, 2), (0, 1, 2, 3)]
