import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from set_files import audio, fails, lines

from ascjax.data.catalogue import read_catalogue
from ascjax.data.dataset import load, select, validation_split
from ascjax.data.listing import Fold
from ascjax.errors import UserError


@pytest.fixture
def folders(tmp_path) -> Path:
    for scene in ("bus", "park"):
        for index in range(10):
            audio(tmp_path / scene / f"{index}.flac")
    return tmp_path


def test_scene_lists(folders):
    assert load(folders, scenes=("park", "bus")).scenes == ("park", "bus")
    for index in range(10):
        audio(folders / "tram" / f"{index}.flac")
    chosen = load(folders, scenes=("park", "bus"))
    assert {recording.scene for recording in chosen.recordings} == {"park", "bus"}
    assert [str(kind) for kind in chosen.left_out] == [
        "left out: recordings of other scenes than those asked for (10), e.g. tram/0.flac"
    ]
    assert len(load(folders, scenes=("park", "bus"), unknown="tram").unknown.test) == 2
    fails(folders, "scenes: expected two or more, got 'park' alone", scenes=("park",))
    for index in range(10):
        (folders / "tram" / f"{index}.flac").unlink()
    fails(folders, "no training recording of tram in fold 1", scenes=("park", "bus", "tram"))
    fails(folders, "expected each scene once", scenes=("park", "bus", "bus"))


def test_recordings_of_no_scene_are_in_neither_part(folders):
    for index in range(10):
        audio(folders / "unknown" / f"{index}.flac")
    whole, apart = load(folders), load(folders, unknown="unknown")
    assert whole.scenes == ("bus", "park", "unknown")
    assert whole.unknown == Fold((), ())
    assert apart.scenes == ("bus", "park")
    for part, all_of, others in (
        (apart.train, whole.train, apart.unknown.train),
        (apart.test, whole.test, apart.unknown.test),
    ):
        assert sorted((*part, *others)) == list(all_of)
        assert {apart.recordings[index].scene for index in others} == {"unknown"}
    fails(folders, "no training recording .* is labelled 'unknow'; did you mean", unknown="unknow")


def test_a_catalogue_has_every_fold_and_a_dataset_one(folders):
    catalogue = read_catalogue(folders)
    assert catalogue.scenes == ["bus", "park"]
    for fold, parts in catalogue.folds.items():
        dataset = select(catalogue, fold)
        assert (dataset.train, dataset.test) == (parts.train, parts.test)
        assert dataset.recordings == catalogue.recordings


def test_training_on_some_devices_and_testing_on_all(tmp_path):
    rows = ["path,scene,fold,device"]
    for number in range(12):
        audio(tmp_path / f"{number}.flac")
        part = "test" if number >= 8 else "train"
        rows.append(
            f"{number}.flac,{'bus' if number % 2 else 'park'},{part},{'aabbccss'[number % 8]}"
        )
    (tmp_path / "list.csv").write_text("\n".join(rows))
    dataset = load(tmp_path, devices=("a", "c"))
    made_with = [dataset.recordings[index].device for index in dataset.train]
    assert made_with == ["a", "a", "c", "c"]
    assert len(dataset.test) == 4
    assert any("training recordings not of the devices a, c (4)" in note for note in dataset.notes)
    fails(tmp_path, r"devices: .*made with 's1'; expected .*\(a, b, c, s\)", devices=("a", "s1"))


# --- Validation split --------------------------------------------------------------------------


def shares_held_out(dataset, key, fitting, held_out):
    """Returns by key's value the share of its recordings that are held out."""
    kept, held = (
        Counter(key(dataset.recordings[index]) for index in part) for part in (fitting, held_out)
    )
    return {value: held[value] / (held[value] + kept[value]) for value in kept | held}


def test_official_validation_split(official):
    dataset = load(official)
    split = validation_split(dataset)
    for key in (lambda r: r.scene, lambda r: r.city):
        for share in shares_held_out(dataset, key, *split).values():
            assert share == pytest.approx(0.3, abs=0.05)
    for fraction, seed in itertools.product((0.1, 0.3, 0.5), range(4)):
        fitting, held_out = validation_split(dataset, fraction, seed)
        assert sorted(fitting + held_out) == list(dataset.train)
        assert len(held_out) / len(dataset.train) == pytest.approx(fraction, abs=0.01)
        locations = shares_held_out(dataset, lambda r: r.location, fitting, held_out)
        assert set(locations.values()) == {0, 1}
        cities = shares_held_out(dataset, lambda r: r.city, fitting, held_out)
        assert list(cities.values()) == pytest.approx([fraction] * 6, abs=0.03)


def test_split_is_reproducible_and_follows_the_seed(shared):
    dataset = load(shared / "data" / "esc10")
    splits = [validation_split(dataset, seed=seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_split_of_a_scene_with_one_location_is_refused(tmp_path):
    rows = []
    for index in range(10):
        scene, location = ("bus", "here") if index < 5 else ("park", str(index))
        audio(tmp_path / f"{index}.wav")
        rows.append(f"{index}.wav,{scene},{index % 5},{location}")
    dataset = load(lines(tmp_path / "list.csv", "path,scene,fold,location", *rows))
    with pytest.raises(UserError, match="scene 'bus' has too few locations"):
        validation_split(dataset)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_fraction_out_of_range(folders, fraction):
    with pytest.raises(UserError, match="validation fraction: expected above 0"):
        validation_split(load(folders), fraction)


def test_stand_in_is_readable(official):
    files = sorted((official / "audio").iterdir())
    assert len(files) == 8_640
    assert len({path.stat().st_ino for path in files}) == 4
    assert soundfile.info(files[0]).samplerate == 48_000
    assert np.isfinite(soundfile.read(files[-1])[0]).all()
