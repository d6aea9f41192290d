"""The main job: what it compiles, holds, records and resumes with."""

import contextlib
import hashlib
import os
import signal

import jax
import numpy as np
import pytest
import tiny_set
from safetensors.numpy import save_file

from ascjax import models
from ascjax.audio import wave
from ascjax.audio.errors import BadRecording
from ascjax.errors import UserError
from ascjax.report import text
from ascjax.runs import experiment, loading, testing
from ascjax.runs.rescore import rescore
from ascjax.runs.run import Run
from ascjax.setup import Setup
from ascjax.signals import Stopped
from ascjax.training.journal import TrainingLog


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_set.write_set(tmp_path_factory.mktemp("set"), per_scene=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the features are kept that the runs of this file share."""
    return tmp_path_factory.mktemp("features")


@pytest.mark.slow
def test_recordings_of_no_scene_set_a_threshold_and_are_tested(tmp_path):
    noise = {"bus": 200.0, "park": 1000.0, "unknown": 4000.0}
    root = tiny_set.write_set(tmp_path / "set", per_scene=12, scenes=noise)
    config = tiny_set.config(
        tmp_path, root, protocol="validated", num_devices=1, **{"data.unknown": "unknown"}
    )
    run = experiment.train(config, tmp_path / "run")
    assert run.results.scenes == ("bus", "park")
    opened = run.results.open_set
    assert (opened.known.total, opened.unknown.total) == (12, 6)
    assert opened.mean == pytest.approx((opened.known_macro + opened.unknown.accuracy) / 2)
    assert run.trained.calibration.unknown == opened.threshold
    assert "unknown recordings" in text.table(run.results)
    assert Run.open(run.path).rescore().open_set == opened
    by_max = run.rescore(fusion="max").open_set
    assert (by_max.threshold, by_max.unknown.total) == (opened.threshold, 6)
    settings = {"protocol": "all", "train.from_run": str(run.path)}
    config.update_from_flattened_dict(settings)
    on_all = experiment.train(config, tmp_path / "on_all").trained
    assert on_all.calibration.unknown == opened.threshold
    files = sorted((root / "unknown").glob("1*.wav"))  # the test part's
    answers = loading.load(tmp_path / "run").predict(files)
    assert sum(bool(each.unknown) for each in answers) >= opened.unknown.correct


@pytest.mark.parametrize("resident", ["off", "on"])
def test_after_the_first_epoch_a_run_compiles_nothing(tmp_path, monkeypatch, resident):
    compiled, at_epoch = [], []

    def count(event, duration, **names):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(names)

    write_down = TrainingLog.epoch

    def epoch(log, *numbers):
        at_epoch.append(len(compiled))
        write_down(log, *numbers)

    monkeypatch.setattr(TrainingLog, "epoch", epoch)
    root = tiny_set.write_set(tmp_path / "set", per_scene=20)
    config = tiny_set.config(
        tmp_path, root, protocol="validated", num_devices=2,
        **{"data.resident": resident, "train.num_epochs": 3, "log_every_steps": 3},
    )  # fmt: skip
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        experiment.train(config, tmp_path / "run")
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert at_epoch[0] >= 3
    assert at_epoch[1] <= at_epoch[0] + 1  # what sets the epoch's sums to zero
    assert at_epoch[1] == at_epoch[2]
    # The copy of the best epoch's variables; the test itself is the validation's program.
    assert len(compiled) <= at_epoch[2] + 1


def test_the_folder_is_held_and_signals_wait_while_it_is_reported(tiny, folder, tmp_path):
    config = tiny_set.config(folder, tiny, num_devices=1)
    reported = []

    def report(run):
        with pytest.raises(UserError, match="another process is training here"):
            experiment.train(config, run.path)
        os.kill(os.getpid(), signal.SIGTERM)
        reported.append(run)

    run = experiment.train(config, tmp_path, report)
    assert reported == [run]
    assert run.results == Run.open(tmp_path).results


def test_a_signal_while_results_are_written_loses_nothing(tiny, folder, tmp_path, monkeypatch):
    config = tiny_set.config(folder, tiny, num_devices=1)
    score, seen = testing.score, []

    def interrupted(*arguments, **settings):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(UserError, match="another process is training here"):
            experiment.train(config, tmp_path)
        seen.append(sorted(path.name for path in tmp_path.glob("*.json")))
        return score(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(testing, "score", interrupted)
        with contextlib.suppress(Stopped):
            experiment.train(config, tmp_path)
    assert seen == [["config.json", "run.json"]]
    run = experiment.train(config, tmp_path)
    assert run.posteriors.shape == (9, 1, 2, 3)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A file of converted weights for the trunk ``tiny``."""
    network = models.create_model("tiny", "gap", 3, planes=3)
    variables = jax.jit(network.init, static_argnames="train")(
        jax.random.key(7), np.zeros((1, 40, 43, 1), np.float32), train=False
    )
    tensors = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(value)
        for path, value in jax.tree_util.tree_leaves_with_path(variables)
    }
    tensors = {key: value for key, value in tensors.items() if "/trunk/" in key}
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    header = {"architecture": "tiny", "source": "made.pth", "source_sha256": "ab" * 32}
    save_file(tensors, file, header)
    return file, header


def test_a_run_says_which_weights_and_data_it_began_with(tiny, folder, tmp_path, converted):
    file, header = converted
    config = tiny_set.config(
        folder, tiny, num_devices=1, **{"init.weights": str(file), "init.input_channel": "mean"}
    )
    info = experiment.train(config, tmp_path / "run").info
    assert info.initial_weights.weights == str(file)
    assert info.initial_weights.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert info.initial_weights.header.items() >= header.items()
    assert (info.data.root, info.data.layout, info.data.fold) == (str(tiny), "folders", 1)
    assert len(info.data.fingerprint) == 64
    assert info.environment.versions.keys() >= {"ascjax", "python", "jax", "numpy"}
    assert info.environment.hardware
    # Other weights under the same name are noticed when it resumes.
    (tmp_path / "run" / "results.json").unlink()
    file.write_bytes(file.read_bytes()[:-4] + bytes(4))
    with pytest.raises(UserError, match=r"changed since this run began \(.*initial weights"):
        experiment.train(config, tmp_path / "run")


def test_what_a_run_began_without_stays_left_out_of_it(tmp_path, monkeypatch):
    root = tiny_set.write_set(tmp_path / "set", per_scene=6)
    bad = root / "bus" / "2-001-A.wav"
    settings = {"data.on_bad_file": "skip", "train.num_epochs": 1}
    config = tiny_set.config(tmp_path, root, num_devices=1, **settings)
    probe = wave.probe

    def refuse(path):
        if path == bad:
            raise BadRecording(f"{path}: can't be opened")
        return probe(path)

    with monkeypatch.context() as patch:
        patch.setattr(wave, "probe", refuse)
        run = experiment.train(config, tmp_path / "run")
    assert list(run.info.left_out) == ["bus/2-001-A.wav"]
    new = experiment.train(config, tmp_path / "new")
    assert new.info.left_out == {}
    (tmp_path / "run" / "results.json").unlink()
    assert experiment.train(config, tmp_path / "run").info == run.info
    assert rescore(run, test_fragments=1).recordings == run.results.recordings


def test_windows_of_a_long_recording_become_one_decision(tmp_path, monkeypatch):
    root = tmp_path / "set"
    for s, (scene, pitch_hz) in enumerate(tiny_set.SCENES.items()):
        for i in range(8):
            tiny_set.write_wave(
                root / scene / f"{1 + i % 2}-{i:03}-A.wav", pitch_hz=pitch_hz,
                seconds=5.0 if i < 6 else 2.0, seed=10 * s + i,
            )  # fmt: skip
    config = tiny_set.config(
        tmp_path, root, num_devices=1, protocol="validated",
        **{"data.window_s": 2.0, "data.window_hop_s": 1.0, "train.num_epochs": 1},
    )  # fmt: skip
    extracted = []
    extract = Setup.extract

    def keep(setup, *args):
        extracted.append(extract(setup, *args))
        return extracted[0]

    validated, numbers = [], experiment.validation_numbers

    def count(posteriors, labels, by):
        validated.append((len(posteriors), len(labels)))
        return numbers(posteriors, labels, by)

    monkeypatch.setattr(Setup, "extract", keep)
    monkeypatch.setattr(experiment, "validation_numbers", count)
    run = experiment.train(config, tmp_path / "run")
    [data] = extracted
    # Starts at 0, 1, 2 and 3 s of those of 5 s.
    parts = (data.train, data.validation, data.test)
    assert sum(len(part.indices) for part in parts) == 3 * (6 * 4 + 2)
    wholes = [{data.dataset.recordings[i].whole for i in part.indices} for part in parts]
    assert len(set.union(*wholes)) == sum(map(len, wholes)) == 24
    assert validated == [(len(wholes[1]), len(wholes[1]))]
    assert len(wholes[1]) < len(data.validation.indices)
    assert (run.info.duration_s, run.results.recordings) == (2.0, 12)
    assert run.info.unit == "window"
    assert run.info.audio_per_window_s == pytest.approx(3 * (6 * 5 + 2 * 2) / 78)
    assert run.posteriors.shape == (12, 1, 2, 3)
    assert set(run.test_posteriors.recording.tolist()) == wholes[2]
