import unicodedata
from pathlib import Path

import pytest
from set_files import audio, fails, lines, names

from ascjax.data.catalogue import read_catalogue
from ascjax.data.dataset import load
from ascjax.data.listing import Recording
from ascjax.data.paths import files_of

ROWS = [f"clips/{scene}{index}.mp3,{scene}" for scene in ("bus", "park") for index in range(5)]


def table(root: Path, header: str, rows: list[str]) -> Path:
    for row in rows:
        audio(root / row.split(",")[0])
    return lines(root / "recordings.csv", header, *rows)


@pytest.fixture
def clips(tmp_path) -> Path:
    for row in ROWS:
        audio(tmp_path / row.split(",")[0])
    return tmp_path


def test_fold_numbers(tmp_path):
    rows = [f"{row},{index % 5 + 1},oslo-{index},oslo,b" for index, row in enumerate(ROWS)]
    path = table(tmp_path, "path,scene,fold,location,city,device", rows)
    for root in (path, tmp_path):
        dataset = load(root, fold=2)
        assert (dataset.layout, dataset.folds, dataset.notes) == ("csv", (1, 2, 3, 4, 5), ())
        assert names(dataset, dataset.test) == ["clips/bus1.mp3", "clips/park1.mp3"]
        assert dataset.recordings[3] == Recording(
            "clips/bus3.mp3", tmp_path / "clips/bus3.mp3", "bus", "oslo-3", "oslo", "b"
        )
    fails(path, r"expected one of 1, 2, 3, 4, 5 .*, got 7", fold=7)


@pytest.mark.parametrize("form", ["{}", "{}.0", "fold{}", "Fold {}", "fold_{}"])
def test_ways_to_write_a_fold(tmp_path, form):
    rows = [f"{row},{form.format(index % 5 + 1)}" for index, row in enumerate(ROWS)]
    assert load(table(tmp_path, "path,scene,fold", rows)).folds == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("parts", [("train", "test"), ("Training", "TEST")])
def test_fixed_split(tmp_path, parts):
    rows = [f"{row},{parts['0' in row]}" for row in ROWS]
    path = table(tmp_path, "path,scene,split", rows)
    dataset = load(path)
    assert (len(dataset.train), len(dataset.test), dataset.folds) == (8, 2, (1,))
    fails(path, "expected one of 1 ", fold=2)
    table(tmp_path, "path,scene,fold", [f"{row},train" for row in ROWS])
    fails(path, "fold 1 has no test recording")


def test_folds_that_are_not_understood(tmp_path):
    folds = ("train", "val", "test", "train", "val")
    rows = [f"{row},{folds[index % 5]}" for index, row in enumerate(ROWS)]
    path = table(tmp_path, "path,scene,fold", rows)
    fails(path, r"line 3: fold 'val' is not understood \(4 rows\): .* the protocol 'validated'")
    table(tmp_path, "path,scene,fold", [*(f"{row},1" for row in ROWS[:-1]), f"{ROWS[-1]},x"])
    fails(path, r"line 11: fold 'x' is not understood \(1 rows\): expected a fold number in each")
    table(tmp_path, "path,scene,fold", [*(f"{row},1" for row in ROWS[:-1]), f"{ROWS[-1]},test"])
    fails(path, "line 2: fold '1' is not understood .* 'train' or 'test' in each row")
    table(tmp_path, "path,scene,fold", [*(f"{row},1" for row in ROWS[:-1]), f"{ROWS[-1]},"])
    fails(path, "line 11: fold '' is not understood")


def test_without_folds_it_is_split_by_location(tmp_path):
    path = table(tmp_path, "path,scene,location", [f"{row},{row[6:10]}" for row in ROWS])
    dataset = load(path)
    located = [{dataset.recordings[i].location for i in p} for p in (dataset.train, dataset.test)]
    assert not located[0] & located[1]
    assert "disjoint in location" in dataset.notes[0]


@pytest.mark.parametrize(
    ("header", "between"),
    [
        ('"path","scene"', ","),
        ("path, scene", ", "),
        ("Path,SCENE", ","),
        ("filename,label", ","),
        ("File Name,class", ","),
        ("path;scene", ";"),
        ("path\tscene", "\t"),
        ("path|scene", "|"),
        ("\ufeffpath,scene", ","),
        ("slice_file_name,Category", ","),
    ],
)
def test_headers_as_people_write_them(clips, header, between):
    lines(clips / "list.csv", header, "", *(row.replace(",", between) for row in ROWS))
    dataset = load(clips)
    assert dataset.layout == "csv"
    assert dataset.scenes == ("bus", "park")
    assert len(dataset.recordings) == 10


def test_quoted_cells(clips):
    audio(clips / "clips/a, b.mp3")
    rows = [f'"{row.replace(",", chr(34) + ", " + chr(34))}"' for row in ROWS]
    lines(clips / "list.csv", "path,scene", *rows, '"clips/a, b.mp3", "bus"')
    assert load(clips).recordings[-1].name == "clips/a, b.mp3"


def test_spreadsheet_text_in_utf16(clips):
    text = "\n".join(["path\tscene", *(row.replace(",", "\t") for row in ROWS)])
    (clips / "list.tsv").write_bytes(text.encode("utf-16"))
    assert len(load(clips).recordings) == 10


def test_given_columns(clips):
    path = lines(clips / "list.csv", "id,where,what", *(f"{i},{row}" for i, row in enumerate(ROWS)))
    columns = {"path": "where", "scene": "what"}
    for root in (path, clips):
        assert len(load(root, columns=columns).recordings) == 10
    fails(path, "expected the columns path, scene, its columns are id, where, what; pass columns")
    fails(
        path, "expected a column 'wat', .*; did you mean 'what'", columns=columns | {"scene": "wat"}
    )
    fails(path, "expected path, scene, .* got 'scenes'; did you mean", columns={"scenes": "what"})


def test_columns_that_could_mean_the_same(clips):
    path = lines(clips / "list.csv", "file,filename,label", *(f"x,{row}" for row in ROWS))
    fails(path, "file and filename could each be the path; pass columns path=file")
    assert len(load(path, columns={"path": "filename"}).recordings) == 10
    lines(path, "file,path,label", *(f"x,{row}" for row in ROWS))
    assert len(load(path).recordings) == 10


def test_column_named_twice_is_refused(clips):
    path = lines(clips / "list.csv", "path,scene,Scene", *(f"{row},x" for row in ROWS))
    fails(path, "line 1: the column 'scene' is there twice")
    lines(path, "path,scene,,", *(f"{row},," for row in ROWS))
    assert len(load(path).recordings) == 10


def test_columns_in_any_order_and_others_noted(clips):
    rows = [",".join([row.split(",")[1], row.split(",")[0], "x"]) for row in ROWS]
    path = lines(clips / "recordings.csv", "scene,path,locaton", *rows, "")
    dataset = load(path)
    assert len(dataset.recordings) == 10
    assert dataset.notes[0] == "column 'locaton' is not read; did you mean 'location'?"


def test_paths_outside_the_folder_are_said(clips, tmp_path_factory):
    other = audio(tmp_path_factory.mktemp("other") / "a.mp3")
    path = lines(clips / "list.csv", "path,scene", *ROWS, f"{clips}/clips/bus0.mp3,bus")
    assert load(path, stay_inside=True).recordings[-1].path == clips / "clips/bus0.mp3"
    link = clips / "clips/link.mp3"
    link.symlink_to(other)
    for name in (str(other), f"clips/../../{other.parent.name}/a.mp3", "clips/link.mp3"):
        lines(path, "path,scene", *ROWS, f"{name},bus")
        (note,) = (note for note in load(path).notes if "lie outside" in note)
        assert note.startswith("1 of 11 files lie outside")
        assert name in note
        fails(path, "1 of 11 files lie outside .*; expected every file inside", stay_inside=True)


@pytest.mark.parametrize(("listed", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_another_unicode_form_are_found(tmp_path, listed, stored):
    rows = []
    for scene in ("café", "park"):
        for index in range(5):
            name = f"{scene}/é{index}.wav"
            audio(tmp_path / unicodedata.normalize(stored, name))
            rows.append(f"{unicodedata.normalize(listed, name)},{scene}")
    dataset = load(lines(tmp_path / "list.csv", "path,scene", *rows))
    assert all(recording.path.exists() for recording in dataset.recordings)
    assert len(dataset.recordings) == 10


def test_backslashes_between_folders(clips):
    lines(clips / "list.csv", "path,scene", *(row.replace("/", "\\") for row in ROWS))
    dataset = load(clips)
    assert dataset.recordings[0].path == clips / "clips/bus0.mp3"
    names = [recording.name for recording in dataset.recordings]
    expected = [recording.path for recording in dataset.recordings]
    for root in (clips, clips / "list.csv"):
        assert files_of(root, names) == expected
    assert files_of(clips, ["clips\\none.mp3"]) == [clips / "clips\\none.mp3"]


def test_folders_that_nobody_can_look_into(clips, close):
    (clips / "loop").symlink_to(clips / "loop")
    for root in (clips / "loop", clips / ("x" * 300), clips / "a\0b"):
        assert files_of(root, ["a.wav"]) == [root / "a.wav"]
    path = lines(clips / "list.csv", "path,scene", *ROWS[1:])
    close(clips / "clips")
    assert files_of(clips / "clips", ["bus0.mp3"]) == [clips / ROWS[0].split(",")[0]]
    assert len(read_catalogue(path).recordings) == len(ROWS) - 1


def test_labels_in_two_spellings(clips):
    path = lines(clips / "list.csv", "path,scene", *ROWS[:-1], "clips/park4.mp3,Park ")
    fails(path, r"one scene in 2 spellings: 'Park' \(1\), 'park' \(4\); write all 5")
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    rows = [row.replace(",bus", f",{(composed, decomposed)[i % 2]}") for i, row in enumerate(ROWS)]
    lines(path, "path,scene", *rows)
    dataset = load(path, scenes=("park", decomposed))
    assert dataset.scenes == ("park", composed)
    assert any("is written in 2 Unicode forms" in note for note in dataset.notes)
    assert load(path, unknown=decomposed).scenes == ("park",)


def test_audio_that_the_table_does_not_name_is_left_out(clips):
    lines(clips / "list.csv", "path,scene", *ROWS[:-1])
    dataset = load(clips)
    assert [(kind.count, Path(kind.example).name) for kind in dataset.left_out] == [
        (1, "park4.mp3")
    ]


def test_a_folder_that_the_table_does_not_know_is_counted(clips):
    lines(clips / "list.csv", "path,scene", *ROWS)
    audio(clips / "tram" / "new" / "a.mp3")
    [kind] = load(clips).left_out
    assert (kind.count, kind.example) == (1, "tram/new/a.mp3")
    assert load(clips / "list.csv").left_out == ()


def test_predictions_that_lie_in_a_set_are_not_its_labels(tmp_path):
    for row in ROWS:
        path, scene = row.split(",")
        audio(tmp_path / scene / Path(path).name)
    lines(
        tmp_path / "pred.csv", "file,scene,score,unknown,bus,park", "bus/bus0.mp3,park,0.5,,0.5,0.5"
    )
    dataset = load(tmp_path)
    assert (dataset.layout, len(dataset.recordings)) == ("folders", 10)


@pytest.mark.parametrize("column", ["location", "city", "device"])
def test_labels_of_places_have_one_unicode_form(clips, column):
    forms = [unicodedata.normalize(form, "Köln") for form in ("NFC", "NFD")]
    rows = [f"{row},{forms[i % 2]}" for i, row in enumerate(ROWS)]
    lines(clips / "list.csv", f"path,scene,{column}", *rows)
    found = read_catalogue(clips).recordings
    assert {getattr(recording, column) for recording in found} == {forms[0]}


def test_mistakes(tmp_path):
    path = table(tmp_path, "path,scene", [*ROWS, "clips/bus0.mp3,bus"])
    fails(path, "line 12: 'clips/bus0.mp3' is listed twice")
    table(tmp_path, "path;scene", ROWS)
    fails(path, "line 2: expected 2 columns, got 1")
    table(tmp_path, "path,scene", [*ROWS, "clips/bus9.mp3"])
    fails(path, "line 12: expected 2 columns, got 1")
    table(tmp_path, "path,scene", [*ROWS, "clips/bus9.mp3,"])
    fails(path, "line 12: the column scene is empty")
    path.write_bytes("path,scene\ncafé.wav,bus".encode("latin-1"))
    fails(path, "expected a text table in UTF-8 .*; save it as CSV UTF-8")
    table(tmp_path, "path,scene", ROWS)
    (tmp_path / "clips/park4.mp3").unlink()
    fails(path, "names 1 of 10 files that aren't there, the first is .*park4.mp3")
    audio(tmp_path / "clips/PARK4.mp3")
    fails(path, "there is .*PARK4.mp3")
    lines(tmp_path / "other.csv", "path,scene", *ROWS)
    (tmp_path / "folder.csv").mkdir()
    fails(tmp_path, "expected one table .* found other.csv, recordings.csv; pass the table itself")
    fails(
        audio(tmp_path / "a.wav"), "expected a folder or a table of recordings, got an audio file"
    )


@pytest.mark.parametrize("label", ["x" * 300, "/etc", "..", "clips/inner"])
def test_one_label_that_is_no_folder_of_the_set(clips, label):
    (clips / "clips/inner/a").mkdir(parents=True)
    (clips / "clips/inner/b").mkdir()
    rows = [f"{row.split(',')[0]},{label}" for row in ROWS]
    lines(clips / "list.csv", "path,scene", *rows)
    fails(clips, "one: .* or pass a table path,scene$")


def test_a_path_of_many_folders(clips):
    path = lines(clips / "list.csv", "path,scene", *ROWS, "d/" * 1_500 + "b.wav,bus")
    fails(path, "names 1 of 11 files that aren't there")


def test_files_that_are_all_missing(tmp_path):
    path = lines(tmp_path / "list.csv", "path,scene", *ROWS)
    fails(path, "names 10 of 10 files .*; is the audio unpacked there")
