import shutil
from collections import Counter
from pathlib import Path

import pytest
from set_files import audio, fails, lines, names

from ascjax.data.dataset import load
from ascjax.data.layouts import LAYOUTS, Request, tut
from ascjax.data.listing import Fold, LeftOut, Recording

SCENES = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall",
    "street_pedestrian", "street_traffic", "tram",
)  # fmt: skip
TRAIN = ["bus-oslo-1-0-a", "bus-oslo-2-1-a", "park-oslo-3-2-a", "park-rome-4-3-a"]
TEST = ["bus-rome-5-4-a", "park-rome-6-5-a"]


@pytest.fixture
def root(tmp_path) -> Path:
    """A small set in the layout of TUT 2018."""

    def row(name):
        scene, city, location, _, device = name.split("-")
        return f"audio/{name}.wav\t{scene}\t{city}-{location}\t{device}"

    def labelled(name):
        return "\t".join(row(name).split("\t")[:2])

    for name in TRAIN + TEST:
        audio(tmp_path / f"audio/{name}.wav")
    header = "filename\tscene_label\tidentifier\tsource_label"
    lines(tmp_path / "meta.csv", header, *map(row, TRAIN + TEST))
    setup = tmp_path / "evaluation_setup"
    lines(setup / "fold1_train.txt", *map(labelled, TRAIN))
    lines(setup / "fold1_evaluate.txt", *map(labelled, TEST))
    lines(setup / "fold1_test.txt", *(labelled(name).split("\t")[0] for name in TEST))
    return tmp_path


def files(stems):
    return [f"audio/{stem}.wav" for stem in stems]


def test_official_fold(official):
    dataset = load(official)
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


def test_official_lists_of_2020(shared):
    root = shared / "data/dcase/TAU-urban-acoustic-scenes-2020-mobile-development"
    listing = LAYOUTS["tut"].read(root, Request())
    fold = listing.folds[1]
    assert (len(listing.recordings), len(fold.train), len(fold.test)) == (23_035, 13_962, 2_968)
    devices = [
        sorted({listing.recordings[i].device for i in part}) for part in (fold.train, fold.test)
    ]
    seen = ["a", "b", "c", "s1", "s2", "s3"]
    assert devices == [seen, [*seen, "s4", "s5", "s6"]]
    located = [{listing.recordings[i].location for i in p} for p in (fold.train, fold.test)]
    assert not located[0] & located[1]
    assert len({r.location for r in listing.recordings}) == 514


def test_official_lists_of_2019(shared):
    root = shared / "data/dcase/TAU-urban-acoustic-scenes-2019-development"
    listing = LAYOUTS["tut"].read(root, Request())
    assert len(listing.recordings) == 14_400
    assert len(listing.folds[1].train) == 3
    assert {r.device for r in listing.recordings} == {"a"}
    assert listing.recordings[0].city == "lisbon"


def test_official_subset_of_2024(shared, tmp_path):
    lists = shared / "data" / "dcase"
    split5 = (lists / "TAU-urban-acoustic-scenes-2024-splits/split5.csv").read_text()
    test = (
        lists
        / "TAU-urban-acoustic-scenes-2022-mobile-development/evaluation_setup/fold1_evaluate.csv"
    ).read_text()
    rows = split5.splitlines()[1:] + test.splitlines()[1:]
    meta = []
    for row in rows:
        fields = row.split(".")[0].split("-")
        # As published, the identifier has the segment in it.
        meta.append(f"{row}\t{'-'.join(fields[1:4])}\t{fields[-1]}")
    lines(tmp_path / "meta.csv", "filename\tscene_label\tidentifier\tsource_label", *meta)
    lines(tmp_path / "split_setup/split5.csv", *split5.splitlines())
    lines(tmp_path / "split_setup/test.csv", *test.splitlines())
    listing = LAYOUTS["tut"].read(tmp_path, Request(split="split5"))
    fold = listing.folds[1]
    assert (len(fold.train), len(fold.test)) == (6_980, 29_680)
    assert listing.recordings[0].location == "lisbon-1000"
    located = [{listing.recordings[i].location for i in p} for p in (fold.train, fold.test)]
    assert not located[0] & located[1]


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("audio/bus-oslo-1-0-a.wav", ("bus", "oslo", "oslo-1", "a")),
        ("street_traffic-lyon-1-2-s6.wav", ("street_traffic", "lyon", "lyon-1", "s6")),
        ("bus-oslo-1000-40000-9-b.wav", ("bus", "oslo", "oslo-1000", "b")),
        ("bus-oslo-1-a.wav", None),
        ("bus01.wav", None),
        ("bus--1-0-a.wav", None),
    ],
)
def test_names(name, parsed):
    assert tut.parse_name(name) == parsed


def test_recordings(root):
    dataset = load(root)
    assert dataset.reason == "there is evaluation_setup/"
    assert names(dataset, dataset.train) == files(TRAIN)
    assert names(dataset, dataset.test) == files(TEST)
    assert dataset.recordings[0] == Recording(
        "audio/bus-oslo-1-0-a.wav", root / "audio/bus-oslo-1-0-a.wav", "bus", "oslo-1", "oslo", "a"
    )


def test_identifier_with_the_segment_is_no_location(root):
    meta = root / "meta.csv"
    meta.write_text(
        meta.read_text().replace("oslo-1\t", "oslo-1-0\t").replace("rome-5\t", "hut-9\t")
    )
    located = {r.name: r.location for r in load(root).recordings}
    assert located["audio/bus-oslo-1-0-a.wav"] == "oslo-1"
    assert located["audio/bus-rome-5-4-a.wav"] == "hut-9"


def test_test_file_serves_without_evaluate_file(root):
    (root / "evaluation_setup" / "fold1_evaluate.txt").unlink()
    dataset = load(root)
    assert names(dataset, dataset.test) == files(TEST)


def test_fold_files_with_header(root):
    for path in sorted((root / "evaluation_setup").glob("*.txt")):
        header = "filename" if "test" in path.name else "filename\tscene_label"
        path.with_suffix(".csv").write_text(header + "\n" + path.read_text().replace("\r", ""))
        path.unlink()
    dataset = load(root)
    assert (len(dataset.train), len(dataset.test)) == (4, 2)


def test_locations_from_names_where_meta_has_none(root):
    rows = [f"audio/{name}.wav\t{name.split('-')[0]}" for name in TRAIN + TEST]
    lines(root / "meta.csv", "filename\tscene_label", *rows)
    assert load(root).recordings[0].location == "oslo-1"


def test_recordings_in_no_part_are_left_out(root):
    audio(root / "audio/bus-oslo-9-9-b.wav")
    audio(root / "audio/bus-oslo-9-8-b.wav")
    with (root / "meta.csv").open("ab") as file:
        file.write(b"audio/bus-oslo-9-9-b.wav\tbus\toslo-9\tb\r\n")
    dataset = load(root)
    assert len(dataset.recordings) == 6
    unlisted = str(root / "audio/bus-oslo-9-8-b.wav")
    assert dataset.left_out == (
        LeftOut("audio files that the set's list does not name", 1, unlisted),
        LeftOut("recordings in no part of fold 1", 1, "audio/bus-oslo-9-9-b.wav"),
    )
    assert "in no part of fold 1 (1), e.g. audio/bus-oslo-9-9-b.wav" in dataset.notes[2]


def test_several_folds(root):
    setup = root / "evaluation_setup"
    for kind, part in (("train", "evaluate"), ("evaluate", "train")):
        (setup / f"fold2_{kind}.txt").write_bytes((setup / f"fold1_{part}.txt").read_bytes())
    dataset = load(root, fold=2)
    assert dataset.folds == (1, 2)
    assert names(dataset, dataset.train) == files(TEST)


@pytest.mark.parametrize(
    "name", ["fold1_train.txt~", "fold1_train.txt.bak", ".fold1_train.txt.swp"]
)
def test_backups_of_fold_files_are_left_out(root, name):
    setup = root / "evaluation_setup"
    lines(setup / name, "audio/bus-oslo-1-0-a.wav\tbus")
    dataset = load(root)
    assert len(dataset.train) == 4
    assert [(kind.count, kind.example) for kind in dataset.left_out] == [(1, name)]


@pytest.mark.parametrize("name", ["fold01_train.txt", "fold1_train_full.txt", "fold_1_train.csv"])
def test_fold_files_of_another_name_are_refused(root, name):
    setup = root / "evaluation_setup"
    (setup / "fold1_train.txt").rename(setup / name)
    fails(root, rf"{name} is not named as a fold file: expected foldN_train\.csv")


def test_fold_file_in_two_formats_is_refused(root):
    lines(root / "evaluation_setup/fold1_train.csv", "filename\tscene_label", "a\tb")
    fails(root, "fold1_train.csv and fold1_train.txt are both there")


def test_splits(root):
    lines(root / "split50.csv", "filename\tscene_label", *(f"{f}\tbus" for f in files(TRAIN[:2])),
          f"{files(TRAIN)[3]}\tpark")  # fmt: skip
    lines(root / "split5.csv", "filename\tscene_label", f"{files(TRAIN)[0]}\tbus")
    lines(root / "test.csv", "filename\tscene_label", f"{files(TEST)[0]}\tbus")
    dataset = load(root, split="split50")
    assert (len(dataset.train), names(dataset, dataset.test)) == (3, files(TEST)[:1])
    for name in ("split5.csv", "split50.csv", "test.csv"):
        shutil.copy(root / name, root / "evaluation_setup" / name)
    whole = load(root)
    assert (len(whole.train), whole.left_out) == (4, ())
    assert "data.split may name a training part: split5, split50" in whole.notes
    fails(root, "split: expected one of split5, split50 .* got 'split25'; did you", split="split25")
    fails(root, "no training recording of park in fold 1", split="split5")
    (root / "test.csv").rename(root / "evaluation_setup" / "fold1_evaluate.csv")
    assert len(load(root, split="split50").test) == 1
    lines(root / "split5.csv", "filename\tscene_label", "audio/none.wav\tbus")
    fails(root, "'audio/none.wav' is not in the set's own list", split="split5")


def test_splits_alone_must_be_chosen(root):
    for path in (root / "evaluation_setup").iterdir():
        path.unlink()
    fails(root, "found no fold files in evaluation_setup")
    lines(root / "evaluation_setup/split5.csv", "filename\tscene_label")
    fails(root, "no fold files are there; name a split: one of split5")


def test_mistakes_in_fold_files(root):
    fold = root / "evaluation_setup" / "fold1_train.txt"
    whole = fold.read_text(encoding="utf-8")
    fails(root, r"fold: expected one of 1 .*, got 2", fold=2)

    fold.write_text(whole + "audio/none.wav\tbus\n")
    fails(root, r"fold1_train.txt, line 5: 'audio/none.wav' is not in .* \(1 of 5 names")
    fold.write_text(whole + "audio/bus-oslo-1-0-a.wav\tbus\n")
    fails(root, "line 5: 'audio/bus-oslo-1-0-a.wav' is listed twice")
    fold.write_text(whole.replace("1-0-a.wav\tbus", "1-0-a.wav\tpark"))
    fails(root, "line 1: 'audio/bus-oslo-1-0-a.wav' is labelled 'park', and 'bus' in")
    fold.write_text(whole + "audio/bus-rome-5-4-a.wav\tbus\n")
    fails(root, "1 recordings are in fold1_train.txt too, the first is 'audio/bus-rome-5-4-a.wav'")
    fold.write_text(whole + "audio/bus-rome-5-4-a.wav\n")
    fails(root, "line 5: expected 2 columns, got 1")
    fold.write_text(whole + "\tbus\n")
    fails(root, "line 5: the column filename is empty")
    fold.write_text("")
    fails(root, "fold1_train.txt: the table is empty")
    fold.write_bytes(b"\xfe\x00\xff")
    fails(root, "expected a text table in UTF-8")
    fold.write_text("\n".join(row for row in whole.splitlines() if "park" not in row))
    fails(root, "no training recording of park in fold 1")
    fold.write_text(whole)
    load(root)

    second = root / "evaluation_setup" / "fold2_evaluate.txt"
    shutil.copy(root / "evaluation_setup" / "fold1_evaluate.txt", second)
    fails(
        root,
        r"fold 2 needs fold2_train\.csv \(or \.txt\) beside fold2_evaluate\.txt, and there is none",
    )
    second.unlink()
    (root / "evaluation_setup" / "fold1_evaluate.txt").unlink()
    (root / "evaluation_setup" / "fold1_test.txt").unlink()
    fails(root, r"needs fold1_evaluate\.csv")


def test_mistakes_in_meta(root):
    meta = root / "meta.csv"
    whole = meta.read_text()
    meta.write_text(whole + whole.splitlines()[1] + "\n")
    fails(root, "meta.csv, line 8: 'audio/bus-oslo-1-0-a.wav' is listed twice")
    meta.write_text(whole.replace("filename", "number"))
    fails(root, "line 1: expected the column path, its columns are number, .*, source_label$")
    meta.write_text(whole.splitlines()[0])
    fails(root, "a header and no row")
    meta.unlink()
    fails(root, "found no meta.csv, the list that TUT and TAU sets have")


def test_folder_around_the_set_is_recognised(root, tmp_path_factory):
    outer = tmp_path_factory.mktemp("outer")
    root.rename(outer / "inner")
    fails(outer, f"seems to be in {outer / 'inner'}")
    (outer.parent / "around").mkdir()
    outer = outer.rename(outer.parent / "around" / "outer")
    fails(outer.parent, f"seems to be in {outer / 'inner'}")
    shutil.copytree(outer / "inner", outer / "other")
    fails(outer, f"2 data sets seem to be there, {outer / 'inner'} and {outer / 'other'} among")


def test_archives_unpacked_each_into_a_folder_are_no_scenes(root, tmp_path_factory):
    outer = tmp_path_factory.mktemp("outer")
    (outer / "set.audio.1").mkdir()
    (root / "audio").rename(outer / "set.audio.1" / "audio")
    shutil.copytree(outer / "set.audio.1", outer / "set.audio.2")
    assert "'set.audio.1', 'set.audio.2' look like no scene" in load(outer).notes[-1]
    shutil.copytree(root, outer / "set.meta" / "set")
    inner = outer / "set.meta" / "set"
    fails(
        outer, f"the lists of a data set are in {inner}, and none of its audio; unpack all of its"
    )
    fails(outer / "set.meta" / "set", "is the audio unpacked there")


def test_evaluation_sets_are_said_to_be_such(root):
    setup = root / "evaluation_setup"
    (setup / "fold1_train.txt").unlink()
    message = r"an evaluation set, with evaluation_setup/fold1_evaluate.txt and no list of training"
    fails(root, message)
    (root / "meta.csv").unlink()
    fails(root, message)
    (setup / "Fold1_Train.csv").write_text("filename\tscene_label\n")
    fails(root, "found no meta.csv")


def test_the_sets_own_table_points_to_its_folds(root):
    notes = load(root / "meta.csv").notes
    assert f"{root} has the layout tut; pass that folder for the set's own folds" in notes


def test_official_lists_come_before_a_table(root):
    lines(root / "recordings.csv", "path,scene", *(f"{f},{f[6:9]}" for f in files(TRAIN)))
    assert load(root).layout == "tut"
    assert load(root, layout="csv").layout == "csv"


def test_lists_saved_with_commas_are_the_same(root):
    expected = load(root)
    for path in (root / "meta.csv", root / "evaluation_setup" / "fold1_train.txt"):
        path.write_text(path.read_text().replace("\t", ","))
    assert load(root) == expected
    fails(
        root, "columns are read from a table, and its layout is tut", columns={"path": "filename"}
    )


def test_lists_of_an_earlier_year_whose_recordings_are_all_there(root):
    table = (root / "meta.csv").read_text()
    for name, kind in (
        ("bus-oslo-1-0-s4", "devices of meta.csv: s4"),
        ("bus-kiel-9-0-a", "cities of meta.csv: kiel"),
    ):
        audio(root / f"audio/{name}.wav")
        lines(root / "meta.csv", *table.splitlines(), f"audio/{name}.wav\tbus\t\t")
        assert f"fold 1 has no recording of these {kind}; are its lists" in load(root).notes[0]


@pytest.mark.parametrize("year", ["2019", "2020-mobile"])
def test_2018s_lists_in_a_later_set(shared, official, year):
    later = shared / "data" / "dcase" / f"TAU-urban-acoustic-scenes-{year}-development"
    listing = tut.read(later, Request("", {}))
    earlier = tut.read(official, Request("", {}))
    index = {recording.name: at for at, recording in enumerate(listing.recordings)}
    fold = Fold(
        *(
            tuple(index[earlier.recordings[at].name] for at in part)
            for part in (earlier.folds[1].train, earlier.folds[1].test)
        )
    )
    [note] = tut.other_year(list(index), {1: fold})
    assert "cities of meta.csv: lisbon, lyon, milan" in note


def test_a_list_that_is_none_is_not_another_years(root):
    (root / "evaluation_setup" / "fold1_train.txt").write_text("<!DOCTYPE html>\n<html>\n")
    fails(root, "line 1: expected the name of an audio file, got '<!DOCTYPE html>'; is this a list")
