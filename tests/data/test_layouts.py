from collections import Counter
from pathlib import Path

import pytest
from set_files import audio, fails, lines, names

from ascjax.data.dataset import load
from ascjax.data.layouts import LAYOUTS


def dcase2013(root: Path) -> None:
    for scene in ("bus", "tubestation"):
        for index in range(1, 11):
            audio(root / "scenes_stereo" / f"{scene}{index:02}.wav")


def dcase2017(root: Path) -> None:
    rows = []
    for index in range(8):
        scene = ("beach", "bus")[index % 2]
        place = f"{'ab'[index % 2]}{index // 4:03}"
        audio(root / f"audio/{place}_{index}0_{index}5.wav")
        rows.append(f"audio/{place}_{index}0_{index}5.wav\t{scene}\t{place}")
    lines(root / "meta.txt", *rows)
    for fold in range(1, 5):
        test = rows[:4] if fold % 2 else rows[4:]
        two = [row.rpartition("\t")[0] for row in rows]
        setup = root / "evaluation_setup"
        lines(
            setup / f"fold{fold}_train.txt",
            *(t for t, row in zip(two, rows, strict=True) if row not in test),
        )
        lines(
            setup / f"fold{fold}_evaluate.txt",
            *(t for t, row in zip(two, rows, strict=True) if row in test),
        )
        lines(setup / f"fold{fold}_test.txt", *(row.split("\t")[0] for row in test))


def esc50(root: Path) -> None:
    rows = []
    for index in range(20):
        name = f"{index % 5 + 1}-{100 + index // 2}-{'AB'[index % 2]}-{index % 2}.wav"
        audio(root / "audio" / name)
        scene, esc10 = ("dog", "True") if index % 4 < 2 else ("rain", str(index % 4 == 2))
        rows.append(f"{name},{index % 5 + 1},{index % 2},{scene},{esc10},{100 + index // 2},A")
    lines(root / "meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)


def urbansound8k(root: Path) -> None:
    rows = []
    for index in range(20):
        fold, name = index % 10 + 1, f"{index // 2}-{index}-0-0.wav"
        audio(root / f"audio/fold{fold}" / name)
        rows.append(
            f"{name},{index // 2},0.0,4.0,1,{fold},{index % 2},{('siren', 'drilling')[index // 10]}"
        )
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    lines(root / "metadata/UrbanSound8K.csv", header, *rows)
    lines(root / "UrbanSound8K_README.txt", "…")


def parts(root: Path) -> None:
    for part, count in (("Train", 8), ("test", 2), ("val", 2)):
        for scene in ("bus", "park"):
            for index in range(count):
                audio(root / part / scene / f"{part}{index}.wav")


@pytest.mark.parametrize(
    ("make", "scenes", "num_recordings", "folds", "num_test", "example"),
    [
        (dcase2013, ("bus", "tubestation"), 20, 5, 4, ("scenes_stereo/bus01.wav", "")),
        (dcase2017, ("beach", "bus"), 8, 4, 4, ("audio/a000_00_05.wav", "a000")),
        (esc50, ("dog", "rain"), 20, 5, 4, ("audio/1-100-A-0.wav", "100")),
        (urbansound8k, ("drilling", "siren"), 20, 10, 2, ("audio/fold1/0-0-0-0.wav", "0")),
        (parts, ("bus", "park"), 20, 1, 4, ("Train/bus/Train0.wav", "")),
    ],
)
def test_sets_as_published(tmp_path, make, scenes, num_recordings, folds, num_test, example):
    make(tmp_path)
    dataset = load(tmp_path)
    assert dataset.layout == {"dcase2017": "dcase2016"}.get(make.__name__, make.__name__)
    assert dataset.reason
    assert dataset.scenes == scenes
    assert dataset.folds == tuple(range(1, folds + 1))
    assert len(dataset.recordings) == num_recordings
    assert len(dataset.test) == num_test
    assert (dataset.recordings[0].name, dataset.recordings[0].location) == example
    assert dataset.recordings[0].path == tmp_path / example[0]


def test_every_layout_is_recognised_by_one_test_only(tmp_path):
    for make in (dcase2013, dcase2017, esc50, urbansound8k, parts):
        root = tmp_path / make.__name__
        make(root)
        detected = [name for name, layout in LAYOUTS.items() if layout.detect(root)]
        assert len(detected) == 2
        assert detected[1] == "folders"


def test_labels_of_2013_are_names_without_digits(tmp_path):
    dcase2013(tmp_path)
    audio(tmp_path / "scenes_stereo" / "notes.txt")
    dataset = load(tmp_path / "scenes_stereo")
    assert Counter(r.scene for r in dataset.recordings) == {"bus": 10, "tubestation": 10}
    assert "split into 5" in dataset.notes[0]
    assert dataset.left_out[0].count == 1


def test_the_test_set_of_2013_is_the_test_part(tmp_path):
    dcase2013(tmp_path)
    for scene in ("bus", "tubestation"):
        for index in (1, 2):
            audio(tmp_path / "scenes_stereo_testset" / f"{scene}{index:02}.wav")
    dataset = load(tmp_path)
    assert dataset.folds == (1,)
    assert len(dataset.train) == 20
    assert names(dataset, dataset.test)[0] == "scenes_stereo_testset/bus01.wav"
    assert "the test part is scenes_stereo_testset (4 recordings)" in dataset.notes


def test_files_named_alike_in_a_scenes_folder_are_no_set_of_2013(tmp_path):
    for scene in ("park", "tram"):
        for index in range(1, 8):
            for name in ("monday", "tuesday"):
                audio(tmp_path / scene / f"{name}{index:02}.wav")
    assert load(tmp_path).scenes == ("park", "tram")
    rows = (f"monday{i:02}.wav,{('quiet', 'loud')[i % 2]}" for i in range(1, 8))
    lines(tmp_path / "park" / "own.csv", "path,scene", *rows)
    assert not any("layout" in note for note in load(tmp_path / "park" / "own.csv").notes)


def test_2017_keeps_its_own_folds(tmp_path):
    dcase2017(tmp_path)
    dataset = load(tmp_path, fold=2)
    located = [{dataset.recordings[i].location for i in p} for p in (dataset.train, dataset.test)]
    assert not located[0] & located[1]
    fails(tmp_path, "fold: expected one of 1, 2, 3, 4 .*, got 5", fold=5)
    (tmp_path / "meta.txt").write_text("audio/a.wav\n")
    fails(tmp_path, "meta.txt, line 1: expected file, tab, scene")
    (tmp_path / "meta.txt").write_text("audio/a.wav\tbus\n\tbus\n")
    fails(tmp_path, "line 2: expected a file and its scene")


def test_esc10_of_esc50(tmp_path):
    esc50(tmp_path)
    dataset = load(tmp_path, split="esc10")
    assert len(dataset.recordings) == 15
    assert [str(each) for each in dataset.left_out] == [
        "left out: clips not of esc10 (5), e.g. audio/4-101-B-1.wav"
    ]
    assert not any("left out" in note for note in dataset.notes)
    fails(tmp_path, "split: expected one of esc10 .* got 'split5'", split="split5")
    meta = tmp_path / "meta" / "esc50.csv"
    text = meta.read_text()
    meta.write_text(text.replace(",True,", ",1,").replace(",False,", ",0,"))
    assert load(tmp_path, split="esc10").recordings == dataset.recordings
    meta.write_text(text.replace(",True,", ",,").replace(",False,", ",0,"))
    fails(tmp_path, r"esc50\.csv: expected rows with True in the column esc10", split="esc10")


def test_other_folders_beside_the_parts_are_left_out(tmp_path):
    parts(tmp_path)
    audio(tmp_path / "extra.wav")
    dataset = load(tmp_path)
    assert "left out: audio files beside train and test (1), e.g. extra.wav" in dataset.notes
    assert [names(dataset, dataset.test)[0], len(dataset.train)] == ["test/bus/test0.wav", 16]
    assert "left out: folders beside train and test (1), e.g. val" in dataset.notes


@pytest.mark.parametrize("make", [dcase2013, dcase2017, esc50, urbansound8k, parts])
def test_layouts_asked_for_in_vain(tmp_path, make):
    audio(tmp_path / "bus" / "a.wav")
    audio(tmp_path / "park" / "a.wav")
    name = {"dcase2017": "dcase2016"}.get(make.__name__, make.__name__)
    fails(tmp_path, "found no |can't be read", layout=name)


def test_wrong_requests(tmp_path):
    for scene in ("bus", "park"):
        for index in range(5):
            audio(tmp_path / scene / f"{index}.wav")
    fails(tmp_path, "has no named splits, got 'split5'", split="split5")
    fails(tmp_path, "found none; pass the table itself", columns={"path": "a"})
    fails(tmp_path, "columns are read from a table", layout="folders", columns={"path": "a"})
    fails(tmp_path, r"layout: .*'tutt'; did you mean 'tut'", layout="tutt")
    fails(audio(tmp_path / "a.csv"), "expected a folder for the layout tut", layout="tut")
    fails(Path("/dev/null"), "got a device or pipe")
    fails(tmp_path / ("x" * 300), "expected a data set's folder .*name too long")
    fails(Path("a\0b"), "expected a data set's folder")
