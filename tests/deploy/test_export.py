import dataclasses
import errno
import hashlib
import json
import os
import runpy
import sys
from unittest import mock

import numpy as np
import pytest
import tiny_set
from fake_run import write_fake_run

import ascjax
from ascjax.deploy import card, comparison, export, folder, graph
from ascjax.deploy.card import FUSIONS
from ascjax.errors import UserError
from ascjax.runs import stored
from ascjax.runs.exported import MODEL_FILES, Export
from ascjax.scoring.fusion import METHODS

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def export_to(out, run, *flags, kind="onnx"):
    words = ["export", f"--run={run}", f"--format={kind}", f"--out={out}", *flags]
    export.main(export.parse(words))
    return out


@pytest.fixture(scope="module", params=MODEL_FILES)
def exported(request, finished_run, tmp_path_factory):
    run, root = finished_run
    out = tmp_path_factory.mktemp("exported") / "park_or_bus"
    return export_to(out, run, f"--verify_on={root / 'park'}", kind=request.param)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """New ones: stereo of two and a half windows, mono of half a window, silence then sound."""
    at = tmp_path_factory.mktemp("clips")
    return [
        tiny_set.write_wave(at / "long.wav", seconds=5, pitch_hz=900, seed=7),
        tiny_set.write_wave(at / "short.wav", seconds=1, pitch_hz=3000, columns=1),
    ]


def test_read_back_it_predicts_as_the_run_does(exported, finished_run, clips):
    run, again = ascjax.load(finished_run[0]), ascjax.load(str(exported))
    assert repr(again) == repr(run)
    for ours, theirs in zip(run.predict(clips), again.predict(clips), strict=True):
        assert list(theirs.scores) == list(ours.scores)
        assert list(theirs.scores.values()) == pytest.approx(list(ours.scores.values()), abs=1e-4)
        assert (theirs.unknown, theirs.windows, theirs.note) == (
            ours.unknown, ours.windows, ours.note,
        )  # fmt: skip
    np.testing.assert_allclose(again.posteriors(clips), run.posteriors(clips), atol=1e-4)
    embedded = [each.embed(clips).features for each in (run, again)]
    np.testing.assert_allclose(*embedded, atol=1e-3, rtol=1e-3)
    timelines = [list(each.timeline(clips[0], by=["channel"])) for each in (run, again)]
    assert [each.channel for each in timelines[1]] == [each.channel for each in timelines[0]]


def test_its_program_needs_neither_ascjax_nor_its_data(exported, finished_run, clips):
    blocked = {name: None for name in list(sys.modules) if name.split(".")[0] == "ascjax"}
    if (exported / "model.onnx").exists():
        blocked |= {"jax": None, "flax": None}
    with mock.patch.dict(sys.modules, blocked):
        predict = runpy.run_path(str(exported / "predict.py"))["predict"]
        found = [predict(clip) for clip in clips]
    for (scene, scores), ours in zip(
        found, ascjax.load(finished_run[0]).predict(clips), strict=True
    ):
        assert scene == ours.scene
        assert scores == pytest.approx(ours.scores, abs=1e-4)


def test_its_program_refuses_another_rate(exported, tmp_path):
    wrong = tiny_set.write_wave(tmp_path / "wrong.wav", rate_hz=8000)
    predict = runpy.run_path(str(exported / "predict.py"))["predict"]
    with pytest.raises(SystemExit, match="expected samples at 16000 Hz, got 16000 at 8000 Hz"):
        predict(wrong)
    wrong.write_bytes(b"no sound")
    with pytest.raises(SystemExit, match="wrong.wav"):
        predict(wrong)


def test_its_program_answers_unknown_below_the_run_s_threshold(tmp_path):
    write_fake_run(tmp_path, protocol="validated", examples=False)
    line = "unknown = unknown or max(scores.values()) < 0.6"
    assert line not in card.program(ascjax.Run.open(tmp_path), "onnx")
    results = json.loads((tmp_path / "results.json").read_text())
    results["calibration"]["unknown"] = 0.6
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert line in card.program(ascjax.Run.open(tmp_path), "onnx")


def test_the_card_has_the_run_s_facts_and_nothing_of_its_machine(exported, finished_run):
    text = (exported / "README.md").read_text()
    results = ascjax.Run.open(finished_run[0]).results
    assert text.startswith("---\nlicense: other\n")
    assert f"| {results.accuracy.correct} | {results.accuracy.total} |" in text
    assert "| scene: tram |" in text
    assert "on 8 recordings of park" in text
    info = ascjax.Run.open(finished_run[0]).info
    stored = sum(a.nbytes for a in graph.weights(ascjax.Run.open(finished_run[0])).values())
    assert f"| parameters, as stored | {stored / 1e3:,.1f} kB | 128.0 kB | over |" in text
    per_second = info.model.macs_per_recording / info.duration_s / 1e6
    assert f"a second of audio | {per_second:,.1f} million | 30 million | within |" in text
    model = next(exported.glob("model.*")).read_bytes()
    assert hashlib.sha256(model).hexdigest() in text
    assert (exported / "labels.txt").read_text() == "bus\npark\ntram\n"
    for file in exported.glob("*.*"):
        for private in (str(finished_run[1]), "1-000-A.wav"):
            assert private.encode() not in file.read_bytes(), file


def test_nothing_that_is_published_names_a_recording_or_a_location(tmp_path):
    write_fake_run(tmp_path, examples=False)
    run = ascjax.Run.open(tmp_path)
    leak = "leak: a location (1) in both parts, e.g. 'a.wav' (training) and 'b.wav' (test)"
    info = dataclasses.replace(run.info, data=dataclasses.replace(run.info.data, leaks=(leak,)))
    assert folder.public(info).data.leaks == ("leak: a location (1) in both parts",)
    count = run.results.recordings
    places = ("home", "work", "home", *("work",) * (count - 3))
    decisions = dataclasses.replace(run.results.decisions, location=places)
    found = folder.anonymous(dataclasses.replace(run.results, decisions=decisions)).decisions
    assert found.location == ("1", "2", "1", *("2",) * (count - 3))
    assert found.recording == tuple(map(str, range(1, count + 1)))


def test_the_card_counts_windows_as_often_as_the_test_took_them(tmp_path):
    write_fake_run(tmp_path, examples=False)
    run = ascjax.Run.open(tmp_path)
    model = dataclasses.replace(run.info.model, macs_per_recording=15_263_104)
    info = dataclasses.replace(run.info, duration_s=1.0, audio_per_window_s=0.25, model=model)
    made = Export(
        kind="onnx", sha256="", quantised=False, versions={}, compared_on="", difference=0.0
    )
    text = card.card(run, info, made, "a", folder.Licences(), parameter_bytes=1)
    assert "| multiply-accumulates a second of audio | 61.1 million | 30 million | over |" in text
    assert "| multiply-accumulates a window | 15.3 million |" in text


def test_int8_kernels_and_what_they_cost(finished_run, tmp_path, capsys):
    run, _ = finished_run
    out = export_to(tmp_path / "small", run, "--quantise")
    said = capsys.readouterr().out
    made = json.loads((out / "export.json").read_text())
    float32, int8, total = made["accuracy"]
    assert total == ascjax.Run.open(run).results.recordings
    assert f"{int8} of {total} right with int8 kernels, {float32} with float32" in said
    assert "8 recordings of the run's test part" in said
    assert f"With int8 kernels {int8} of these {total}" in (out / "README.md").read_text()
    assert 0 < made["difference"] < comparison.TOLERANCE
    small = graph.quantised(graph.weights(ascjax.Run.open(run))).values()
    shapes = stored.shapes(run / "model.safetensors")
    assert stored.num_bytes(shapes, quantised=True) == sum(values.nbytes for values in small)
    kilobytes = sum(values.nbytes for values in small) / 1e3
    assert f"| parameters, as stored | {kilobytes:,.1f} kB |" in (out / "README.md").read_text()
    weights = (run / "model.safetensors").stat().st_size
    assert (out / "model.onnx").stat().st_size < 0.7 * weights
    with pytest.raises(UserError, match=r"expected a recording of the run's test part.*--data=DIR"):
        export_to(tmp_path / "lost", run, "--quantise", f"--data={tmp_path}")
    assert not (tmp_path / "lost").exists()


def _differs(monkeypatch):
    monkeypatch.setattr(comparison, "largest_difference", lambda *_: 2e-3)


def _full_disk(monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder, "write_text", no_space)


def _inexpressible(monkeypatch):
    from ascjax.deploy.onnx.rules import RULES

    monkeypatch.delitem(RULES, "conv_general_dilated")


def _not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [each for each in sys.modules if each.startswith("ascjax.deploy.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("ascjax.deploy.onnx", raising=False)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_differs, r"differs from the run by up to 2.0e-03 on 8 recordings of .*1e-04 is allowed"),
        (_full_disk, "cannot be written .No space left on device"),
        (
            _inexpressible,
            "trunk vgg_tiny with head gap uses conv_general_dilated.*format=stablehlo",
        ),
        (_not_installed, r"onnx isn't installed; pip install 'ascjax\[export\]'"),
    ],
)
def test_what_fails_leaves_nothing(spoil, said, finished_run, tmp_path, monkeypatch):
    spoil(monkeypatch)
    with pytest.raises(UserError, match=said):
        export_to(tmp_path / "out", finished_run[0])
    assert not list(tmp_path.iterdir())


def test_what_is_no_run_to_export(finished_run, exported, tmp_path):
    with pytest.raises(UserError, match="is there already"):
        export_to(exported, finished_run[0])
    with pytest.raises(UserError, match="is an exported folder"):
        export_to(tmp_path / "out", exported)
    with pytest.raises(UserError, match="is an exported network, without .* give the run"):
        ascjax.Run.open(exported).rescore()
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"results.json: expected this file of a finished run"):
        export_to(tmp_path / "out", unfinished)
    other = tmp_path / "other"
    other.mkdir()
    (other / "results.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="expected format 4, got 99"):
        export_to(tmp_path / "out", other)
    with pytest.raises(UserError, match="format: expected one of onnx, stablehlo, got 'onxx'; did"):
        export_to(tmp_path / "out", finished_run[0], kind="onxx")
    with pytest.raises(UserError, match="verify_on=.*expected audio files, there is nothing"):
        export_to(tmp_path / "out", finished_run[0], f"--verify_on={tmp_path / 'nothing'}")
    assert not (tmp_path / "out").exists()


def test_what_can_t_be_read_back_is_said(exported, tmp_path, clips):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in exported.glob("*"):
        (copy / file.name).write_bytes(file.read_bytes())
    model = next(copy.glob("model.*"))
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.\w+: damaged, its SHA-256"):
        ascjax.load(copy).predict(clips[0])
    # As an artefact that is too old for what reads it: whole, and not understood.
    made = json.loads((copy / "export.json").read_text())
    made["sha256"] = hashlib.sha256(model.read_bytes()).hexdigest()
    (copy / "export.json").write_text(json.dumps(made))
    with pytest.raises(UserError, match=r"written by ascjax .*can't be read by \w+ [\d.]+ .*anew"):
        ascjax.load(copy).predict(clips[0])
    model.unlink()
    with pytest.raises(UserError, match=r"model\.\w+: cannot be read \(No such file"):
        ascjax.load(copy).predict(clips[0])


@pytest.mark.parametrize("name", METHODS)
def test_the_program_fuses_as_runs_do(name):
    x = np.random.default_rng(0).dirichlet(np.ones(4), size=(2, 5))
    x[0, 0] = x[0, 1] = [0.4, 0.4, 0.1, 0.1]
    found = eval(FUSIONS[name], {"x": x, "np": np})
    expected = METHODS[name](x)
    np.testing.assert_allclose(
        found / found.sum(-1, keepdims=True), expected / expected.sum(-1, keepdims=True)
    )
