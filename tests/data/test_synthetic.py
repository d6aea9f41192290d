from collections import Counter

import numpy as np
import pytest
import soundfile

from ascjax.data import sounds, synthetic
from ascjax.data.dataset import load, validation_split
from ascjax.errors import UserError

SMALL = {"num_recordings": 40, "duration_s": 0.5}


def contents(root):
    """The bytes of every file by its path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def loudness(samples):
    return float(np.sqrt(np.mean(samples**2)))


def test_same_seed_gives_the_same_bytes(tmp_path):
    first = contents(synthetic.make(tmp_path / "a", **SMALL))
    assert first == contents(synthetic.make(tmp_path / "b", **SMALL))
    other = contents(synthetic.make(tmp_path / "c", **SMALL, seed=1))
    assert first.keys() == other.keys()
    for name, data in first.items():
        assert (data != other[name]) == name.startswith(("audio", "synthetic.json"))


def test_is_a_set_in_the_tut_layout(tmp_path):
    dataset = load(synthetic.make(tmp_path / "set", **SMALL))
    assert dataset.layout == "tut"
    assert dataset.scenes == tuple(sorted(synthetic.SCENES))
    assert len(dataset.recordings) == 40
    located = [{dataset.recordings[i].location for i in p} for p in (dataset.train, dataset.test)]
    assert not located[0] & located[1]
    for part, count in ((dataset.train, 3), (dataset.test, 1)):
        scenes = Counter(dataset.recordings[i].scene for i in part)
        assert scenes == dict.fromkeys(dataset.scenes, count)
    fitting, held_out = validation_split(dataset)
    assert len(fitting) == 20
    assert len(held_out) == 10
    info = soundfile.info(dataset.recordings[0].path)
    assert (info.samplerate, info.channels, info.subtype) == (48_000, 2, "PCM_24")
    assert info.frames == 24_000


@pytest.mark.parametrize("num_recordings", [20, 39, 97, 240])
def test_plan_covers_every_scene_and_keeps_locations_apart(num_recordings):
    takes = synthetic._plan(num_recordings)
    assert len({take.name for take in takes}) == len(takes) == num_recordings
    parts = [[t for t in takes if t.in_test is in_test] for in_test in (False, True)]
    for part in parts:
        assert {take.scene for take in part} == set(synthetic.SCENES)
    assert not {t.identifier for t in parts[0]} & {t.identifier for t in parts[1]}
    assert 0.2 <= len(parts[1]) / num_recordings <= 0.5


def test_default_plan_has_several_locations_a_city():
    takes = synthetic._plan(240)
    assert {take.city for take in takes} == set(synthetic.CITIES)
    locations = Counter(take.identifier for take in takes)
    assert set(locations.values()) == {3}
    assert sum(take.in_test for take in takes) == 90


def test_finished_set_is_kept(tmp_path):
    root = synthetic.make(tmp_path / "set", **SMALL)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert synthetic.make(root, **SMALL) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_other_parameters_are_refused(tmp_path):
    root = synthetic.make(tmp_path / "set", **SMALL)
    with pytest.raises(UserError, match=r"a synthetic set of seed 0 \(wanted 1\); delete it"):
        synthetic.make(root, **SMALL, seed=1)


def test_other_files_are_never_touched(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(UserError, match="holds no synthetic set"):
        synthetic.make(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "set").mkdir()
    assert load(synthetic.make(tmp_path / "set", **SMALL)).train


def test_nothing_is_left_of_a_set_that_was_interrupted(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "synthesise", interrupt)
    with pytest.raises(KeyboardInterrupt):
        synthetic.make(tmp_path / "set", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_two_that_make_the_same_set_have_one(tmp_path, monkeypatch):
    write, root = synthetic._write, tmp_path / "set"

    def slower(*args):
        monkeypatch.setattr(synthetic, "_write", write)
        synthetic.make(root, **SMALL)  # another process, meanwhile
        write(*args)

    monkeypatch.setattr(synthetic, "_write", slower)
    assert load(synthetic.make(root, **SMALL)).train
    assert list(tmp_path.iterdir()) == [root]


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't write a synthetic set"):
        synthetic.make(tmp_path / "file" / "set", **SMALL)


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_recordings", 19), ("duration_s", 0.1), ("duration_s", float("nan")), ("seed", -1)],
)
def test_nonsense_is_named(tmp_path, key, value):
    with pytest.raises(UserError, match=f"^{key}: expected"):
        synthetic.make(tmp_path / "set", **{**SMALL, key: value})


@pytest.mark.parametrize("scene", synthetic.SCENES)
def test_scenes_are_binaural_and_neither_silent_nor_clipped(scene):
    number = list(synthetic.SCENES).index(scene)
    samples = synthetic.synthesise(scene, number, number, 2.0, 0)
    assert samples.shape == (2, 96_000)
    assert samples.dtype == np.float32
    assert 1e-3 < loudness(samples) < 0.5
    assert np.abs(samples).max() < 1
    assert 0.05 < loudness(samples[0] - samples[1]) / loudness(samples) < 2


def test_location_shapes_what_its_recordings_share():
    def spectrum(location, segment):
        samples = synthetic.synthesise("bus", location, segment, 2.0, 0)
        return np.log(np.abs(np.fft.rfft(samples[0]))[: 2 * 400].reshape(-1, 8).mean(axis=1))

    same = np.abs(spectrum(1, 1) - spectrum(1, 2)).mean()
    other = np.abs(spectrum(1, 1) - spectrum(3, 3)).mean()
    assert same < other


def test_every_event_of_the_table_has_a_sound():
    counted = set(synthetic.Scene.__dataclass_fields__) - {
        "level_db", "tilt_db", "rumble_db", "hum_db", "hum_hz", "reverb_s", "width",
    }  # fmt: skip
    assert counted == set(sounds.EVENTS)
    assert synthetic.NEIGHBOURS.keys() == synthetic.SCENES.keys()
    for neighbours in synthetic.NEIGHBOURS.values():
        assert len(neighbours) == 2
        assert set(neighbours) < synthetic.SCENES.keys()


@pytest.mark.parametrize("name", sounds.EVENTS)
def test_events_are_sounds(name):
    make, _ = sounds.EVENTS[name]
    for seed in range(5):
        sound = make(np.random.default_rng(seed), 1.0)
        assert sound.ndim == 1
        assert sound.dtype == np.float32
        assert 0.1 < loudness(sound) < 3


def test_a_sound_from_the_left_is_earlier_and_louder_there():
    class Left(np.random.Generator):
        def integers(self, *_):
            return 100

        def uniform(self, *_):
            return -1.0

    mix = np.zeros((2, 1_000), np.float32)
    sounds.place(mix, np.ones(10, np.float32), Left(np.random.PCG64()))
    first = [int(np.argmax(column > 0)) for column in mix]
    assert first == [100, 129]
    assert mix[0].max() > mix[1].max() > 0


def test_sounds_that_reach_over_an_end_are_cut():
    rng = np.random.default_rng(0)
    for _ in range(100):
        mix = np.zeros((2, 50), np.float32)
        sounds.place(mix, np.ones(80, np.float32), rng)
        assert np.isfinite(mix).all()
