import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import standin

from ascjax.data import dataset as recordings
from ascjax.errors import UserError

SCENES = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall",
    "street_pedestrian", "street_traffic", "tram",
)  # fmt: skip


def audio(path: Path) -> Path:
    """A file that is there; nothing here reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def lines(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{row}\r\n" for row in rows).encode())
    return path


TUT_TRAIN = ["bus-oslo-1-0-a", "bus-oslo-2-1-a", "park-oslo-3-2-a", "park-rome-4-3-a"]
TUT_TEST = ["bus-rome-5-4-a", "park-rome-6-5-a"]


@pytest.fixture
def tut(tmp_path) -> Path:
    """A small set in the layout of TUT 2018."""

    def row(name):
        scene, city, location, _, device = name.split("-")
        return f"audio/{name}.wav\t{scene}\t{city}-{location}\t{device}"

    def labelled(name):
        return "\t".join(row(name).split("\t")[:2])

    for name in TUT_TRAIN + TUT_TEST:
        audio(tmp_path / f"audio/{name}.wav")
    header = "filename\tscene_label\tidentifier\tsource_label"
    lines(tmp_path / "meta.csv", header, *map(row, TUT_TRAIN + TUT_TEST))
    setup = tmp_path / "evaluation_setup"
    lines(setup / "fold1_train.txt", *map(labelled, TUT_TRAIN))
    lines(setup / "fold1_evaluate.txt", *map(labelled, TUT_TEST))
    lines(setup / "fold1_test.txt", *(labelled(name).split("\t")[0] for name in TUT_TEST))
    return tmp_path


@pytest.fixture
def folders(tmp_path) -> Path:
    for scene in ("bus", "park"):
        for index in range(10):
            audio(tmp_path / scene / f"{index}.flac")
    return tmp_path


def names(dataset, part):
    return [dataset.recordings[index].name for index in part]


def fails(root, reason, **options):
    with pytest.raises(UserError, match=reason) as error:
        recordings.load(root, **options)
    assert str(error.value).count("\n") <= 1


# --- TUT/TAU -----------------------------------------------------------------------------------


def test_official_fold(shared, tmp_path):
    dataset = recordings.load(standin.make(shared, tmp_path / "set"))
    assert (dataset.layout, dataset.scenes, dataset.folds) == ("tut", SCENES, (1,))
    assert dataset.notes == ()
    assert (len(dataset.recordings), len(dataset.train), len(dataset.test)) == (8_640, 6_122, 2_518)
    counts = [
        [Counter(dataset.recordings[i].scene for i in part)[scene] for scene in SCENES]
        for part in (dataset.train, dataset.test)
    ]
    assert counts == [
        [599, 622, 603, 605, 622, 648, 585, 617, 618, 603],
        [265, 242, 261, 259, 242, 216, 279, 247, 246, 261],
    ]
    assert len({recording.location for recording in dataset.recordings}) == 286
    assert len({recording.city for recording in dataset.recordings}) == 6
    located = [
        {dataset.recordings[i].location for i in part} for part in (dataset.train, dataset.test)
    ]
    assert not located[0] & located[1]


def shares_held_out(dataset, key, fitting, held_out):
    """Returns by key's value the share of its recordings that are held out."""
    kept, held = (
        Counter(key(dataset.recordings[index]) for index in part) for part in (fitting, held_out)
    )
    return {value: held[value] / (held[value] + kept[value]) for value in kept | held}


def test_official_validation_split(shared, tmp_path):
    dataset = recordings.load(standin.make(shared, tmp_path / "set"))
    split = recordings.validation_split(dataset)
    for key in (lambda r: r.scene, lambda r: r.city):
        for share in shares_held_out(dataset, key, *split).values():
            assert share == pytest.approx(0.3, abs=0.05)
    for fraction, seed in itertools.product((0.1, 0.3, 0.5), range(4)):
        fitting, held_out = recordings.validation_split(dataset, fraction, seed)
        assert sorted(fitting + held_out) == list(dataset.train)
        assert len(held_out) / len(dataset.train) == pytest.approx(fraction, abs=0.01)
        locations = shares_held_out(dataset, lambda r: r.location, fitting, held_out)
        assert set(locations.values()) == {0, 1}
        cities = shares_held_out(dataset, lambda r: r.city, fitting, held_out)
        assert list(cities.values()) == pytest.approx([fraction] * 6, abs=0.03)


def test_recordings_of_tut(tut):
    dataset = recordings.load(tut)
    assert names(dataset, dataset.train) == [f"audio/{name}.wav" for name in TUT_TRAIN]
    assert names(dataset, dataset.test) == [f"audio/{name}.wav" for name in TUT_TEST]
    assert dataset.recordings[0] == recordings.Recording(
        "audio/bus-oslo-1-0-a.wav", tut / "audio/bus-oslo-1-0-a.wav", "bus", "oslo-1", "oslo"
    )


def test_test_file_serves_without_evaluate_file(tut):
    (tut / "evaluation_setup" / "fold1_evaluate.txt").unlink()
    dataset = recordings.load(tut)
    assert names(dataset, dataset.test) == [f"audio/{name}.wav" for name in TUT_TEST]


def test_tau_tables_with_header(tut):
    for path in sorted((tut / "evaluation_setup").glob("*.txt")):
        header = "filename" if "test" in path.name else "filename\tscene_label"
        path.with_suffix(".csv").write_text(header + "\n" + path.read_text().replace("\r", ""))
        path.unlink()
    dataset = recordings.load(tut)
    assert (len(dataset.train), len(dataset.test)) == (4, 2)


def test_locations_from_names_where_meta_has_none(tut):
    rows = [f"audio/{name}.wav\t{name.split('-')[0]}" for name in TUT_TRAIN + TUT_TEST]
    lines(tut / "meta.csv", "filename\tscene_label", *rows)
    assert recordings.load(tut).recordings[0].location == "oslo-1"


def test_recordings_in_no_part_are_left_out_and_noted(tut):
    with (tut / "meta.csv").open("ab") as file:
        file.write(b"audio/bus-oslo-9-9-b.wav\tbus\toslo-9\tb\r\n")
    dataset = recordings.load(tut)
    assert len(dataset.recordings) == 6
    assert dataset.notes == ("1 recordings of meta.csv are in no part of fold 1",)


def test_several_folds(tut):
    setup = tut / "evaluation_setup"
    for kind, part in (("train", "evaluate"), ("evaluate", "train")):
        (setup / f"fold2_{kind}.txt").write_bytes((setup / f"fold1_{part}.txt").read_bytes())
    dataset = recordings.load(tut, fold=2)
    assert dataset.folds == (1, 2)
    assert names(dataset, dataset.train) == [f"audio/{name}.wav" for name in TUT_TEST]


def test_tut_mistakes(tut):
    fold = tut / "evaluation_setup" / "fold1_train.txt"
    whole = fold.read_text(encoding="utf-8")
    fails(tut, r"config\.data\.fold: expected one of 1 .*, got 2", fold=2)

    fold.write_text(whole + "audio/none.wav\tbus\n")
    fails(tut, "fold1_train.txt, line 5: 'audio/none.wav' is not in")
    fold.write_text(whole + "audio/bus-oslo-1-0-a.wav\tbus\n")
    fails(tut, "line 5: 'audio/bus-oslo-1-0-a.wav' is listed twice")
    fold.write_text(whole.replace("1-0-a.wav\tbus", "1-0-a.wav\tpark"))
    fails(tut, "line 1: 'audio/bus-oslo-1-0-a.wav' is labelled 'park', and 'bus' in")
    fold.write_text(whole + "audio/bus-rome-5-4-a.wav\tbus\n")
    fails(tut, "1 recordings are in fold1_train.txt too, the first is 'audio/bus-rome-5-4-a.wav'")
    fold.write_text(whole + "audio/bus-rome-5-4-a.wav\n")
    fails(tut, "line 5: expected 2 columns, got 1")
    fold.write_text(whole + "\tbus\n")
    fails(tut, "line 5: the column filename is empty")
    fold.write_text("")
    fails(tut, "fold1_train.txt: the table is empty")
    fold.write_bytes(b"\xff\xfe\0\0")
    fails(tut, "expected a text table in UTF-8")
    fold.write_text("\n".join(row for row in whole.splitlines() if "park" not in row))
    fails(tut, "no training recording of park in fold 1")
    fold.unlink()
    fails(tut, r"expected one of none")
    fold.write_text(whole)
    recordings.load(tut)

    (tut / "evaluation_setup" / "fold1_evaluate.txt").unlink()
    (tut / "evaluation_setup" / "fold1_test.txt").unlink()
    fails(tut, r"needs fold1_evaluate\.txt")


def test_fold_file_naming_a_file_that_is_not_there(tut):
    (tut / "audio/park-rome-4-3-a.wav").unlink()
    fails(tut, r"names 1 files that aren't there, the first is .*park-rome-4-3-a\.wav")


def test_meta_mistakes(tut):
    meta = tut / "meta.csv"
    whole = meta.read_text()
    meta.write_text(whole + whole.splitlines()[1] + "\n")
    fails(tut, "meta.csv, line 8: 'audio/bus-oslo-1-0-a.wav' is listed twice")
    meta.write_text(whole.replace("\t", ","))
    fails(tut, "line 1: expected the columns filename, scene_label")
    meta.write_text(whole.splitlines()[0])
    fails(tut, "a header and no row")
    meta.unlink()
    fails(tut, "the TUT layout needs meta.csv")


def test_folder_around_the_set_is_recognised(tut, tmp_path_factory):
    outer = tmp_path_factory.mktemp("outer")
    tut.rename(outer / "inner")
    fails(outer, f"seems to be in {outer / 'inner'}")


# --- Folders -----------------------------------------------------------------------------------


def test_esc10(shared):
    root = shared / "data" / "esc10"
    for fold in range(1, 6):
        dataset = recordings.load(root, fold=fold)
        assert (dataset.layout, dataset.folds, dataset.notes) == ("folders", (1, 2, 3, 4, 5), ())
        assert (len(dataset.train), len(dataset.test), len(dataset.scenes)) == (320, 80, 10)
        assert {Path(name).name[0] for name in names(dataset, dataset.test)} == {str(fold)}
        located = [
            {dataset.recordings[i].location for i in p} for p in (dataset.train, dataset.test)
        ]
        assert not located[0] & located[1]
        fitting, held_out = recordings.validation_split(dataset)
        located = [{dataset.recordings[i].location for i in p} for p in (fitting, held_out)]
        assert not located[0] & located[1]
        scenes = [{dataset.recordings[i].scene for i in p} for p in (fitting, held_out)]
        assert scenes[0] == scenes[1] == set(dataset.scenes)
    assert dataset.scenes[0] == "001 - Dog bark"


def test_folders_without_folds_are_dealt(folders):
    audio(folders / ".hidden" / "a.wav")
    audio(folders / "README.txt")
    audio(folders / "park" / "notes.txt")
    (folders / "empty").mkdir()
    parts = []
    for fold in range(1, 6):
        dataset = recordings.load(folders, fold=fold)
        assert dataset.scenes == ("bus", "park")
        assert Counter(dataset.recordings[i].scene for i in dataset.test) == {"bus": 2, "park": 2}
        assert not set(dataset.train) & set(dataset.test)
        parts.append(set(names(dataset, dataset.test)))
    assert len(set.union(*parts)) == 20
    assert "left out: empty" in dataset.notes[0]
    assert "dealt into 5, balanced by scene; a CSV path,scene,fold,location" in dataset.notes[1]
    assert recordings.load(folders) == recordings.load(folders)


def test_folder_mistakes(folders, tmp_path_factory):
    fails(folders, r"config\.data\.fold: expected one of 1, 2, 3, 4, 5 .*, got 6", fold=6)
    empty = tmp_path_factory.mktemp("empty")
    fails(empty, "is empty")
    (empty / "scene").mkdir()
    fails(empty, r"expected a folder of audio files \(.wav, .flac, .ogg, .mp3\) for each scene")
    fails(empty / "none", "doesn't exist")


def test_scene_lists(folders):
    assert recordings.load(folders, scenes=("park", "bus")).scenes == ("park", "bus")
    fails(folders, "10 recordings are labelled 'bus', which is not in", scenes=("park",))
    fails(folders, "no training recording of tram in fold 1", scenes=("park", "bus", "tram"))
    fails(folders, "expected each scene once", scenes=("park", "bus", "bus"))


def test_layout_names(folders, tut):
    assert recordings.load(folders, layout="folders").layout == "folders"
    fails(folders, r"config\.data\.layout: .*'tutt'; did you mean 'tut'", layout="tutt")
    fails(
        folders, "expected one CSV file with the columns path and scene, found none", layout="csv"
    )
    fails(audio(folders / "a.csv"), "expected a folder for 'tut'", layout="tut")


# --- CSV ---------------------------------------------------------------------------------------


def table(root: Path, header: str, rows: list[str]) -> Path:
    for row in rows:
        audio(root / row.split(",")[0])
    return lines(root / "recordings.csv", header, *rows)


ROWS = [f"clips/{scene}{index}.mp3,{scene}" for scene in ("bus", "park") for index in range(5)]


def test_csv_with_fold_numbers(tmp_path):
    rows = [f"{row},{index % 5 + 1},oslo-{index},oslo" for index, row in enumerate(ROWS)]
    path = table(tmp_path, "path,scene,fold,location,city", rows)
    for root in (path, tmp_path):
        dataset = recordings.load(root, fold=2)
        assert (dataset.layout, dataset.folds, dataset.notes) == ("csv", (1, 2, 3, 4, 5), ())
        assert names(dataset, dataset.test) == ["clips/bus1.mp3", "clips/park1.mp3"]
        assert dataset.recordings[3] == recordings.Recording(
            "clips/bus3.mp3", tmp_path / "clips/bus3.mp3", "bus", "oslo-3", "oslo"
        )
    fails(path, r"expected one of 1, 2, 3, 4, 5 .*, got 7", fold=7)


def test_csv_with_a_fixed_split(tmp_path):
    rows = [f"{row},{'test' if '0' in row else 'train'}" for row in ROWS]
    path = table(tmp_path, "path,scene,fold", rows)
    dataset = recordings.load(path)
    assert (len(dataset.train), len(dataset.test), dataset.folds) == (8, 2, (1,))
    fails(path, "expected one of 1 ", fold=2)
    table(tmp_path, "path,scene,fold", [f"{row},train" for row in ROWS])
    fails(path, "fold 1 has no test recording")


def test_csv_without_folds_is_dealt_by_location(tmp_path):
    path = table(tmp_path, "path,scene,location", [f"{row},{row[6:10]}" for row in ROWS])
    dataset = recordings.load(path)
    located = [{dataset.recordings[i].location for i in p} for p in (dataset.train, dataset.test)]
    assert not located[0] & located[1]
    assert "disjoint in location" in dataset.notes[0]


def test_csv_columns_in_any_order_and_others_noted(tmp_path):
    rows = [",".join([row.split(",")[1], row.split(",")[0], "x"]) for row in ROWS]
    for row in ROWS:
        audio(tmp_path / row.split(",")[0])
    path = lines(tmp_path / "recordings.csv", "scene,path,locaton", *rows, "")
    dataset = recordings.load(path)
    assert len(dataset.recordings) == 10
    assert dataset.notes[0] == "column 'locaton' is not read; did you mean 'location'?"


def test_csv_with_absolute_paths(tmp_path):
    path = table(tmp_path, "path,scene", [f"{tmp_path}/{row}" for row in ROWS])
    assert recordings.load(path).recordings[0].path == tmp_path / "clips/bus0.mp3"


def test_csv_files_of_other_things_are_no_data_set(folders):
    lines(folders / "notes.csv", "author,date", "me,today")
    assert recordings.load(folders).layout == "folders"


def test_official_fold_files_come_before_a_csv(tut):
    table(tut, "path,scene", ROWS)
    assert recordings.load(tut).layout == "tut"
    assert recordings.load(tut, layout="csv").layout == "csv"


def test_csv_mistakes(tmp_path):
    path = table(tmp_path, "path,scene", [*ROWS, "clips/bus0.mp3,bus"])
    fails(path, "line 12: 'clips/bus0.mp3' is listed twice")
    table(tmp_path, "path;scene", ROWS)
    fails(path, "expected the columns path, scene")
    table(tmp_path, "path,scene", [*ROWS, "clips/bus9.mp3"])
    fails(path, "line 12: expected 2 columns, got 1")
    table(tmp_path, "path,scene", [*ROWS, "clips/bus9.mp3,"])
    fails(path, "line 12: the column scene is empty")
    table(tmp_path, "path,scene,fold", [*(f"{row},1" for row in ROWS[:-1]), f"{ROWS[-1]},test"])
    fails(path, "line 11: expected a fold number in each row .* got 'test'")
    table(tmp_path, "path,scene", ROWS)
    (tmp_path / "clips/park4.mp3").unlink()
    fails(path, "names 1 files that aren't there")
    lines(tmp_path / "other.csv", "path,scene", *ROWS)
    fails(tmp_path, "found other.csv, recordings.csv")


# --- Validation split --------------------------------------------------------------------------


def test_split_is_reproducible_and_follows_the_seed(shared):
    dataset = recordings.load(shared / "data" / "esc10")
    splits = [recordings.validation_split(dataset, seed=seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_split_of_a_scene_with_one_location_is_refused(tmp_path):
    rows = [
        f"{row},{index % 5},{'here' if 'bus' in row else index}" for index, row in enumerate(ROWS)
    ]
    dataset = recordings.load(table(tmp_path, "path,scene,fold,location", rows))
    with pytest.raises(UserError, match="scene 'bus' has too few locations"):
        recordings.validation_split(dataset)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_fraction_out_of_range(folders, fraction):
    with pytest.raises(UserError, match=r"config\.data\.validation_fraction: expected above 0"):
        recordings.validation_split(recordings.load(folders), fraction)


def test_stand_in_is_readable(shared, tmp_path):
    root = standin.make(shared, tmp_path / "set")
    files = sorted((root / "audio").iterdir())
    assert len(files) == 8_640
    assert len({path.stat().st_ino for path in files}) == 4
    assert soundfile.info(files[0]).samplerate == 48_000
    assert np.isfinite(soundfile.read(files[-1])[0]).all()
