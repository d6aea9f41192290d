import json
import shutil

import numpy as np
import pytest
import soundfile
import tiny_set

from ascjax import evaluate
from ascjax.audio.wave import BadRecording
from ascjax.errors import UserError
from ascjax.runs import experiment, predictor


@pytest.fixture(scope="module")
def model(finished_run):
    return predictor.load(finished_run[0])


def copied(finished_run, tmp_path, **settings):
    """A copy of the run, elsewhere, with other settings in its config."""
    folder = shutil.copytree(finished_run[0], tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    for key, value in settings.items():
        config[key] |= value
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def of_the_run(finished_run):
    """The run's posteriors, and the files they are of."""
    run, root = finished_run
    with np.load(run / "posteriors.npz") as saved:
        return saved["posteriors"], [root / name for name in saved["recording"]]


def test_it_gives_the_posteriors_of_the_run_itself(finished_run, model):
    expected, files = of_the_run(finished_run)
    got = dict(model.each(files))
    assert list(got) == files
    np.testing.assert_allclose(list(got.values()), expected, atol=1e-5)
    np.testing.assert_allclose(model.scores(files), expected.mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize("attention", [False, True])
def test_it_cuts_as_the_run_did(tmp_path, attention):
    root = tiny_set.write_set(tmp_path / "set", per_scene=4)
    more = {"fragments.overlap": 0.5, "fragments.attention": attention, "train.num_epochs": 1,
            "train.batch_size": 4, "num_devices": 1}  # fmt: skip
    experiment.train_and_evaluate(tiny_set.config(tmp_path, root, **more), tmp_path / "run")
    expected, files = of_the_run((tmp_path / "run", root))
    assert expected.shape[2] == (1 if attention else 2)
    got = [posteriors for _, posteriors in predictor.load(tmp_path / "run").each(files)]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    asked = evaluate.evaluate(tmp_path / "run", test_fragments=3)
    cut = (asked["fragments"], asked["attended"], asked["own"]["attended"])
    assert cut == ((1, 3, 2) if attention else (3, 1, 1))
    if attention:
        with pytest.raises(UserError, match="by attention: expected 2 or more, got 1"):
            evaluate.evaluate(tmp_path / "run", test_fragments=1)


def test_it_restores_the_step_that_was_tested(finished_run, tmp_path):
    run = copied(finished_run, tmp_path)
    results = json.loads((run / "results.json").read_text())
    first, last = sorted(int(folder.name) for folder in (run / "checkpoints").iterdir())
    assert results["step"] == last
    (run / "results.json").write_text(json.dumps({**results, "step": first}))
    expected, files = of_the_run(finished_run)
    got = predictor.load(run).scores(files)
    assert np.abs(got - expected.mean((1, 2))).max() > 1e-3


def test_the_run_folder_alone_is_enough_and_stays_as_it_is(finished_run, tmp_path):
    nowhere = {"root": "/nowhere", "store_dir": "/nowhere"}
    weights = {"weights": "imagenet", "weights_dir": "/nowhere"}
    run = copied(finished_run, tmp_path, data=nowhere, init=weights)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    expected, files = of_the_run(finished_run)
    got = predictor.load(run).scores(files)
    np.testing.assert_allclose(got, expected.mean((1, 2)), atol=1e-5)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_files_of_any_rate_length_and_columns(model, tmp_path):
    options = {"pitch_hz": 1000.0, "seed": 5}
    whole, _ = soundfile.read(tiny_set.write_wave(tmp_path / "whole.wav", **options))
    soundfile.write(tmp_path / "long.wav", np.concatenate([whole, 0.1 * whole]), 16000, "PCM_24")
    short = whole[:3200]
    soundfile.write(tmp_path / "short.wav", short, 16000, "PCM_24")
    soundfile.write(tmp_path / "repeated.wav", np.tile(short, (10, 1)), 16000, "PCM_24")
    tiny_set.write_wave(tmp_path / "other.wav", rate_hz=22050, columns=1, **options)
    names = ("whole", "long", "short", "repeated", "other")
    scores = dict(zip(names, model.scores([tmp_path / f"{n}.wav" for n in names]), strict=True))
    np.testing.assert_allclose(scores["long"], scores["whole"], atol=1e-6)
    np.testing.assert_allclose(scores["short"], scores["repeated"], atol=1e-6)
    assert {model.scenes[s.argmax()] for s in scores.values()} == {"park"}


def test_a_file_that_cannot_be_read_is_left_out_or_raises(finished_run, model, tmp_path):
    _, files = of_the_run(finished_run)
    (tmp_path / "text.wav").write_text("no sound")
    mixed = [files[0], tmp_path / "text.wav", tmp_path / "none.wav", files[1]]
    bad = []
    assert [path for path, _ in model.each(mixed, bad)] == files[:2]
    assert ["text.wav" in str(bad[0]), "none.wav" in str(bad[1])] == [True, True]
    assert list(model.each(mixed[1:3], [])) == []
    with pytest.raises(BadRecording, match=r"text\.wav"):
        model.scores(mixed)


def test_other_fragments(finished_run):
    whole = predictor.load(finished_run[0], fragments=1)
    [(_, posteriors)] = whole.each(of_the_run(finished_run)[1][:1])
    assert posteriors.shape == (2, 1, 3)
    with pytest.raises(UserError, match="at least 32 mel bands × 32 frames, got 40 × 29"):
        predictor.load(finished_run[0], fragments=3)


@pytest.mark.parametrize("name", ["results.json", "run.json", "config.json", "checkpoints"])
def test_a_run_that_lacks_something_is_refused_by_name(finished_run, tmp_path, name):
    run = copied(finished_run, tmp_path)
    (run / name).rename(run / "away")
    with pytest.raises(UserError, match=name):
        predictor.load(run)


def test_damaged_runs_are_refused_by_name(finished_run, tmp_path):
    run = copied(finished_run, tmp_path, model={"head_width": 8, "head": "mlp"})
    step = json.loads((run / "results.json").read_text())["step"]
    with pytest.raises(UserError, match=rf"checkpoints/{step}: cannot be restored"):
        predictor.load(run)
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**about, "scenes": ["bus", "tram"]}))
    with pytest.raises(UserError, match=rf"checkpoints/{step}: cannot be restored"):
        predictor.load(run)
    del about["front_end"]
    (run / "run.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"run\.json: expected the keys front_end"):
        predictor.load(run)
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps({**results, "format": 99}))
    with pytest.raises(UserError, match=r"results\.json: expected format 2, got 99"):
        predictor.load(run)
