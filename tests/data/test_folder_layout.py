import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from set_files import audio, fails, lines, names

from ascjax.data.dataset import load, validation_split


@pytest.fixture
def root(tmp_path) -> Path:
    for scene in ("bus", "park"):
        for index in range(10):
            audio(tmp_path / scene / f"{index}.flac")
    return tmp_path


def left_out(dataset):
    return {kind.reason: (kind.count, kind.example) for kind in dataset.left_out}


def test_esc10(shared):
    root = shared / "data" / "esc10"
    for fold in range(1, 6):
        dataset = load(root, fold=fold)
        assert (dataset.layout, dataset.folds, dataset.notes) == ("folders", (1, 2, 3, 4, 5), ())
        assert (len(dataset.train), len(dataset.test), len(dataset.scenes)) == (320, 80, 10)
        assert {Path(name).name[0] for name in names(dataset, dataset.test)} == {str(fold)}
        located = [
            {dataset.recordings[i].location for i in p} for p in (dataset.train, dataset.test)
        ]
        assert not located[0] & located[1]
        fitting, held_out = validation_split(dataset)
        located = [{dataset.recordings[i].location for i in p} for p in (fitting, held_out)]
        assert not located[0] & located[1]
        scenes = [{dataset.recordings[i].scene for i in p} for p in (fitting, held_out)]
        assert scenes[0] == scenes[1] == set(dataset.scenes)
    assert dataset.scenes[0] == "001 - Dog bark"
    assert left_out(dataset) == {"files beside the scenes' folders": (2, "README.md")}


def test_folders_without_folds_are_assigned(root):
    (root / "empty").mkdir()
    parts = []
    for fold in range(1, 6):
        dataset = load(root, fold=fold)
        assert dataset.scenes == ("bus", "park")
        assert Counter(dataset.recordings[i].scene for i in dataset.test) == {"bus": 2, "park": 2}
        assert not set(dataset.train) & set(dataset.test)
        parts.append(set(names(dataset, dataset.test)))
    assert len(set.union(*parts)) == 20
    assert dataset.notes[0] == "folders without audio files: empty"
    assert "split into 5, balanced by scene; a CSV path,scene,fold,location" in dataset.notes[1]
    assert load(root) == load(root)


def test_audio_at_any_depth(root):
    (root / "bus" / "day 1" / "am").mkdir(parents=True)
    for index in range(5):
        (root / f"bus/{index}.flac").rename(root / f"bus/day 1/am/{index}.flac")
    audio(root / "park" / "folder.wav" / "a.wav")
    dataset = load(root)
    assert Counter(r.scene for r in dataset.recordings) == {"bus": 10, "park": 11}
    assert "bus/day 1/am/0.flac" in {r.name for r in dataset.recordings}


def test_scenes_that_may_be_a_folder_deeper(tmp_path):
    for city in ("oslo", "rome"):
        for scene in ("bus", "park"):
            for index in range(5):
                audio(tmp_path / city / scene / f"{index}.wav")
    dataset = load(tmp_path)
    assert dataset.scenes == ("oslo", "rome")
    assert "the same folders in it: bus, park; if those are the scenes" in dataset.notes[0]
    audio(tmp_path / "rome" / "tram" / "0.wav")
    assert "the same folders" not in load(tmp_path).notes[0]


def test_what_is_left_out_is_counted(root, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    for name in (
        "bus/.ipynb_checkpoints/0-checkpoint.wav", ".trash/bus/a.wav", "bus/deep/.git/b.ogg",
        "bus/._0.flac", "bus/.DS_Store", "README.md", "loose.wav", "bus/notes.txt",
        "park/a.m4a", "park/b.M4A", "park/c.xyz", "park/LICENSE",
    ):  # fmt: skip
        audio(root / name)
    (root / "bus" / "folder.wav").mkdir()
    dataset = load(root)
    assert len(dataset.recordings) == 20
    assert left_out(dataset) == {
        "audio files in hidden folders": (3, ".trash/bus/a.wav"),
        "hidden files": (2, "bus/.DS_Store"),
        ".txt files": (1, "bus/notes.txt"),
        "files beside the scenes' folders": (1, "README.md"),
        "audio files beside the scenes' folders": (1, "loose.wav"),
        ".m4a files, for which ffmpeg must be installed": (2, "park/a.m4a"),
        ".xyz files": (1, "park/c.xyz"),
        "files without suffix": (1, "park/LICENSE"),
    }
    said = " ".join(dataset.notes)
    assert "left out: .m4a files" in said
    assert "(2), e.g. park/a.m4a" in said
    assert "README" not in said
    assert "hidden files" not in said


def test_what_ffmpeg_reads_is_read_where_it_is_installed(root, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: program)
    audio(root / "park" / "a.m4a")
    assert len(load(root).recordings) == 21


def test_linked_folders_are_read_once(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    audio(other / "more" / "a.wav")
    os.symlink(other / "more", root / "bus" / "linked")
    os.symlink(root / "bus", root / "bus" / "circle")
    dataset = load(root)
    assert Counter(r.scene for r in dataset.recordings) == {"bus": 11, "park": 10}
    outside = r"1 of 21 files lie outside .*, e.g. bus/linked/a.wav"
    assert any("bus/linked/a.wav" in note for note in dataset.notes)
    fails(root, outside, stay_inside=True)


def test_names_that_are_no_utf8_are_read(root):
    path = os.path.join(os.fsencode(root), b"bus", b"caf\xe9.wav")
    try:
        with open(path, "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    recording = next(r for r in load(root).recordings if "caf" in r.name)
    assert recording.name == r"bus/caf\xe9.wav"
    assert os.fsencode(recording.path) == path


def test_mistakes(root, tmp_path_factory):
    fails(root, r"fold: expected one of 1, 2, 3, 4, 5 .*, got 6", fold=6)
    empty = tmp_path_factory.mktemp("empty")
    fails(empty, "is empty")
    (empty / "scene").mkdir()
    fails(empty, "expected a folder of audio files .* for each scene, found none")
    fails(empty / "none", "expected a data set's folder or a table of recordings")
    audio(empty / "a.wav")
    fails(empty, "found 1 in empty")


@pytest.mark.parametrize("scene", ["bus\nstop", "bus\n", "\u2028bus"])
def test_scenes_of_several_lines_are_refused(tmp_path, scene):
    for folder in ("park", scene):
        audio(tmp_path / folder / "a.wav")
    fails(tmp_path, "expected a name on one line for each scene, got '.*; rename its folder or la")


def test_one_scene_is_refused(tmp_path):
    audio(tmp_path / "bus" / "a.wav")
    fails(tmp_path, r"expected at least two scenes, found one: 'bus' \(1 recordings\)")
    audio(tmp_path / "bus" / "red" / "a.wav")
    audio(tmp_path / "bus" / "blue" / "a.wav")
    fails(tmp_path, "if blue, red are the scenes, pass .*bus")


@pytest.mark.parametrize(
    ("folders", "doubted"),
    [
        (("audio", "bus"), "'audio' looks"),
        (("fold1", "fold2"), "'fold1', 'fold2' look"),
        (("Train", "valid"), "'Train', 'valid' look"),
        (("data", "street_test"), "'data' looks"),
        (("testing_room", "trains"), None),
    ],
)
def test_names_that_are_no_scenes_are_doubted(tmp_path, folders, doubted):
    for folder in folders:
        for index in range(5):
            audio(tmp_path / folder / f"{index}.wav")
    warnings = [note for note in load(tmp_path).notes if note.startswith("warning")]
    assert len(warnings) == (doubted is not None)
    if doubted:
        assert f"{doubted} like no scene" in warnings[0]
        assert "path,scene,fold" in warnings[0]


def test_tables_of_other_things_make_no_table_set(root):
    lines(root / "notes.csv", "author,date", "me,today")
    assert load(root).layout == "folders"
