import dataclasses
import io
import json
import shutil
import tracemalloc

import numpy as np
import pytest
import soundfile
import tiny_set

import ascjax
from ascjax import records
from ascjax.audio.errors import BadRecording
from ascjax.audio.raw import RawFormat
from ascjax.errors import UserError
from ascjax.runs import loading, novelty
from ascjax.runs.folder import read_results
from ascjax.runs.verdict import Prediction
from ascjax.scoring.calibration import Calibration, temper
from ascjax.scoring.novelty import NoveltyModel

RATE = tiny_set.RATE_HZ
# All that a network that comes with the package has.
ESSENTIAL = ("run.json", "results.json", "model.safetensors")
CALIBRATION = Calibration(2.0, {0.8: 0.5, 0.95: None}, {0.9: 0.7}, recordings=40)


@pytest.fixture(scope="module")
def classifier(finished_run):
    return ascjax.load(finished_run[0])


@pytest.fixture(scope="module")
def files(classifier, finished_run):
    """Recordings of the run's test part."""
    return [finished_run[1] / name for name in classifier.runs[0].test_posteriors.recording]


@pytest.fixture
def copy(finished_run, tmp_path):
    """Copies what prediction needs of the run, with other results if given."""

    def make(name="copy", **results):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for file in ESSENTIAL:
            shutil.copy(finished_run[0] / file, folder)
        changed = dataclasses.replace(read_results(folder), **results)
        records.write(folder / "results.json", changed)
        return folder

    return make


def tone(seconds, pitch_hz=1000.0, seed=0):
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE)) / RATE
    wave = 0.2 * np.sin(2 * np.pi * pitch_hz * time_s) + 0.02 * rng.normal(size=len(time_s))
    return wave.astype(np.float32)


def values(prediction):
    return np.array(list(prediction.scores.values()))


def test_posteriors_are_those_of_the_run(classifier, files):
    expected = classifier.runs[0].posteriors
    np.testing.assert_allclose(classifier.posteriors(files), expected, atol=1e-5)
    predicted = classifier.predict(files)
    np.testing.assert_allclose([values(p) for p in predicted], expected.mean((1, 2)), atol=1e-5)
    assert [p.scene for p in predicted] == list(classifier.runs[0].results.decisions.predicted)


def test_run_json_results_and_model_are_enough_and_stay(classifier, files, copy):
    run = copy()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    prediction = ascjax.load(str(run)).predict(str(files[0]))
    np.testing.assert_allclose(values(prediction), values(classifier.predict(files[0])))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_list_gives_a_list_and_reprs_are_short(classifier, files):
    [prediction] = classifier.predict([files[0]])
    assert isinstance(classifier.predict(files[0]), Prediction)
    assert repr(prediction).endswith("%)")
    assert max(map(len, map(repr, (classifier, next(classifier.timeline(files[0])))))) < 100
    assert repr(classifier.embed(files[0])) == "Embeddings(1 windows × 128 features)"


def test_long_recordings_are_the_mean_of_their_windows(classifier):
    wave = np.concatenate([tone(2), tone(2, 4000.0), tone(2, 200.0)])
    timeline = list(classifier.timeline((wave, RATE)))
    assert [(each.start_s, each.end_s) for each in timeline] == [(0, 2), (2, 4), (4, 6)]
    alone = classifier.predict([(wave[i : i + 2 * RATE], RATE) for i in (0, 2 * RATE, 4 * RATE)])
    np.testing.assert_allclose(
        [values(each) for each in timeline], [values(each) for each in alone], atol=1e-5
    )
    whole = classifier.predict((wave, RATE))
    np.testing.assert_allclose(values(whole), np.mean([values(w) for w in alone], 0), atol=1e-5)
    assert (whole.windows, whole.end_s, whole.note) == (3, 6.0, "")
    starts = [each.start_s for each in classifier.timeline((wave, RATE), hop_s=0.5)]
    assert starts == [0.5 * step for step in range(9)]


def test_short_recordings_are_repeated_and_say_so(classifier):
    short = tone(0.4)
    prediction = classifier.predict((short, RATE))
    repeated = classifier.predict((np.tile(short, 5), RATE))
    np.testing.assert_allclose(values(prediction), values(repeated), atol=1e-6)
    assert (prediction.end_s, prediction.note) == (0.4, "0.40 s long, repeated to fill 2 s")


def test_other_rates_columns_and_types(classifier, tmp_path):
    path = tiny_set.write_wave(tmp_path / "a.wav", pitch_hz=1000.0, rate_hz=22050, columns=1)
    integers = (tone(2) * 32767).astype(np.int16)
    scenes = {classifier.predict(each).scene for each in (path, (integers, RATE), (tone(2), RATE))}
    assert scenes == {"park"}


def test_fragments_and_channels_alone(classifier, files):
    parts = list(classifier.timeline(files[0], by=("fragment", "channel")))
    assert [(p.fragment, p.channel) for p in parts] == [
        (1, "left"), (1, "average"), (2, "left"), (2, "average")
    ]  # fmt: skip
    posteriors = classifier.posteriors(files[0])[0].swapaxes(0, 1).reshape(4, -1)
    np.testing.assert_allclose([values(p) for p in parts], posteriors, atol=1e-5)
    assert parts[0].end_s == pytest.approx(1.0, abs=0.05)
    # Of half a second, the second fragment is repetition only.
    short = classifier.timeline((tone(0.5), RATE), by=["fragment"])
    assert [(p.fragment, p.end_s) for p in short] == [(1, 0.5)]
    with pytest.raises(UserError, match="by: expected some of fragment, channel, got column"):
        list(classifier.timeline(files[0], by=["column"]))


def test_memory_stays_that_of_a_few_windows(classifier, tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for seed in range(12):
            file.write(tone(10, seed=seed))
    classifier.predict(path)
    tracemalloc.start()
    prediction = classifier.predict(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert prediction.windows == 60
    assert peak < 120 * RATE * 4 / 2  # half of its samples


def test_bad_recordings_raise_or_are_passed_over(classifier, files, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.wav").touch()
    mixed = [
        files[0],
        tmp_path / "text.wav",
        tmp_path / "none.wav",
        tmp_path / "empty.wav",
        files[1],
    ]
    results = list(classifier.each(mixed))
    assert [isinstance(r, BadRecording) for r in results] == [False, True, True, True, False]
    assert "text.wav" in str(results[1])
    with pytest.raises(BadRecording, match=r"text\.wav"):
        classifier.predict(mixed)
    with pytest.raises(BadRecording, match=r"none\.wav"):
        list(classifier.timeline(tmp_path / "none.wav"))
    bad = []
    assert classifier.embed(mixed, bad=bad).source == (str(files[0]), str(files[1]))
    assert len(bad) == 3


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros(0), r"got shape \(0,\)"),
        (np.zeros((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        (np.full(9, np.nan), "9 of 9 samples are NaN"),
        (np.full(9, "a"), "expected floats or integers"),
    ],
)
def test_arrays_that_are_no_waveforms(classifier, samples, said):
    with pytest.raises(BadRecording, match=said) as raised:
        classifier.predict((samples, 16000))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("hop_s", [0, -1.0, float("nan"), float("inf")])
def test_hops_and_scores_out_of_range(classifier, hop_s):
    with pytest.raises(UserError, match="hop_s: expected more than 0 seconds"):
        classifier.predict((tone(2), RATE), hop_s=hop_s)
    with pytest.raises(UserError, match="min_score: expected a score of 0 to 1"):
        classifier.predict((tone(2), RATE), min_score=1 + abs(hop_s) if hop_s else -1)


def test_silence_is_unknown_and_has_no_part_in_the_mean(classifier):
    quiet = 1e-5 * np.random.default_rng(0).normal(size=2 * RATE).astype(np.float32)
    for silent in (np.zeros(2 * RATE, np.float32), np.full(2 * RATE, 0.25, np.float32), quiet):
        prediction = classifier.predict((silent, RATE))
        assert (prediction.scene, prediction.unknown) == ("unknown", "silence")
    mixed = classifier.predict((np.concatenate([quiet, tone(2), quiet]), RATE))
    np.testing.assert_allclose(
        values(mixed), values(classifier.predict((tone(2), RATE))), atol=1e-5
    )
    assert mixed.scene == "park"


def test_low_scores_are_unknown(classifier, files):
    prediction = classifier.predict(files[0], min_score=1.0)
    assert (prediction.scene, prediction.unknown) == ("unknown", "low score")
    assert prediction.likeliest in classifier.scenes
    [window] = classifier.timeline(files[0], min_score=1.0)
    assert window.unknown == "low score"


def test_novel_windows(copy, files):
    size = 128 + 2 * 40  # features, and two statistics of each mel band
    run = copy()
    model = NoveltyModel(
        means=np.zeros((1, size), np.float32),
        directions=np.eye(1, size, dtype=np.float32),
        variances=np.ones(1, np.float32),
        residual_variance=1.0,
        threshold=100.0,
        quantile=0.95,
    )
    novelty.write(run, model)
    assert ascjax.load(run).predict(files[0]).unknown == ""
    novelty.write(run, dataclasses.replace(model, threshold=1e-3))
    assert ascjax.load(run).predict(files[0]).unknown == "novel"
    (run / "novelty.npz").write_bytes(b"no")
    with pytest.raises(UserError, match=r"novelty\.npz"):
        ascjax.load(run).predict(files[0])


def test_scores_are_tempered_and_thresholds_kept(copy, classifier, files):
    calibrated = ascjax.load(copy(calibration=CALIBRATION))
    expected = temper(values(classifier.predict(files[0]))[None], 2.0)[0]
    np.testing.assert_allclose(values(calibrated.predict(files[0])), expected, atol=1e-5)
    assert calibrated.threshold(0.8) == 0.5
    assert calibrated.set_threshold(0.9) == 0.7
    with pytest.raises(UserError, match="its 40 validation recordings can't show"):
        calibrated.threshold(0.95)
    with pytest.raises(UserError, match=r"accuracy: expected one of 0\.8, 0\.95, got 0\.9"):
        calibrated.threshold(0.9)
    with pytest.raises(UserError, match="no calibration, as it was trained under the protocol"):
        classifier.threshold(0.8)


def test_folds_are_fused(copy, tmp_path, classifier, files):
    folds = tmp_path / "folds"
    for name, calibration in (("fold1", None), ("fold2", CALIBRATION)):
        (copy(f"folds/{name}", calibration=calibration) / "config.json").write_text("{}")
    both = ascjax.load(folds)
    assert repr(both).startswith("Classifier(2 folds of vgg_tiny")
    scores = values(classifier.predict(files[0]))
    expected = (scores + temper(scores[None], 2.0)[0]) / 2
    np.testing.assert_allclose(values(both.predict(files[0])), expected, atol=1e-5)
    assert both.embed(files[0]).features.shape == (1, 256)
    info = json.loads((folds / "fold2" / "run.json").read_text())
    (folds / "fold2" / "run.json").write_text(json.dumps({**info, "overlap": 0.5}))
    with pytest.raises(UserError, match="fold2: its overlap aren't those"):
        ascjax.load(folds)
    (folds / "fold2" / "results.json").unlink()
    with pytest.raises(UserError, match=r"fold2/results\.json: expected this file"):
        ascjax.load(folds)


def test_streams_of_files_and_of_raw_samples(classifier, files):
    whole = classifier.predict(io.BytesIO(files[0].read_bytes()))
    assert whole.scores == classifier.predict(files[0]).scores
    samples = (np.concatenate([tone(2), tone(2, 200.0)]) * 32768).astype("<i2")
    given = []

    class Microphone:
        def read(self, size):
            given.append(size)
            taken = samples[sum(given[:-1]) // 2 :][: size // 2]
            return taken.tobytes()

    windows = classifier.timeline(Microphone(), raw=RawFormat(RATE))
    assert next(windows).scene == "park"
    assert sum(given) < 2 * len(samples)  # the second window isn't waited for
    assert next(windows).start_s == 2.0
    assert list(windows) == []


@pytest.mark.parametrize("name", ["results.json", "run.json", "model.safetensors"])
def test_runs_that_lack_something_or_are_damaged(copy, files, name):
    run = copy()
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=name):
        ascjax.load(run).predict(files[0])
    (run / name).unlink()
    with pytest.raises(UserError, match=name):
        ascjax.load(run).predict(files[0])


def test_another_networks_variables(copy, files):
    run = copy()
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps({**info, "model": {**info["model"], "head": "mlp", "head_width": 8}})
    )
    with pytest.raises(UserError, match=r"model\.safetensors: its variables aren't those"):
        ascjax.load(run).predict(files[0])


def test_what_is_no_run(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            UserError, match="expected the folder of a finished run or of its folds"
        ):
            ascjax.load(folder)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="start the run's command again to finish it"):
        ascjax.load(tmp_path)


def test_networks_that_come_along(copy, monkeypatch, tmp_path):
    copy("shipped/small")
    monkeypatch.setattr(loading, "SHIPPED", tmp_path / "shipped")
    assert ascjax.load("small").scenes == ("bus", "park", "tram")
    assert loading.shipped() == ["small"]
