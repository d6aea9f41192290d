import json

import numpy as np
import pytest
from fake_run import write_fake_run

import ascjax
from ascjax import Run, cli
from ascjax.audio.logmel import LogMel
from ascjax.errors import UserError
from ascjax.runs.folder import read_results


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vgg16"
    return folder, write_fake_run(folder, devices=("phone",))


def test_a_run_opens_by_string_or_path(written):
    folder, results = written
    for path in (folder, str(folder)):
        run = Run.open(path)
        assert run.path == folder
        assert run.results == results
        assert run.info.model.trunk == "vgg16"
    assert repr(run) == (
        f"Run({str(folder)!r}: vgg16, head mlp, {results.accuracy.correct} of 60 test recordings "
        "right)"
    )
    assert run.front_end == LogMel(48000)
    assert run.config["optimizer"] == {"name": "adamw", "learning_rate": 2e-4}
    assert run.posteriors.shape == (60, 3, 6, 10)
    assert run.test_posteriors.device.tolist() == ["phone"] * 60


def test_opening_what_is_no_finished_run_names_it(written, tmp_path):
    with pytest.raises(UserError, match="nowhere: expected the folder of a run, there is none"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"results\.json: expected this file of a finished run"):
        Run.open(tmp_path)


def test_a_folder_that_may_not_be_entered_is_named(tmp_path, close):
    write_fake_run(tmp_path / "run")
    close(tmp_path / "run")
    for open_run in (Run.open, ascjax.load, cli.folder):  # the last of evaluate and figures
        with pytest.raises(UserError, match="/run: Permission denied$"):
            open_run(str(tmp_path / "run"))


def test_a_front_end_of_another_version_is_named(tmp_path):
    write_fake_run(tmp_path)
    path = tmp_path / "run.json"
    content = json.loads(path.read_text())
    content["front_end"]["colour"] = "pink"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"run\.json: front_end: colour: not a setting"):
        _ = Run.open(tmp_path).front_end


def test_rescored_as_it_was_it_is_the_same(written):
    folder, results = written
    again = Run.open(folder).rescore()
    assert vars(again) == {key: vars(results)[key] for key in vars(again)}


def test_other_fusions_and_channels_by_hand(written):
    run = Run.open(written[0])
    labels, posteriors = run.test_posteriors.label, run.posteriors
    voted = run.rescore(fusion="max", channels="right,left")
    assert voted.channels == ("left", "right"), "in the run's order"
    by_channel = posteriors[:, :2].max(axis=2)
    scores = (by_channel / by_channel.sum(-1, keepdims=True)).mean(axis=1)
    assert voted.accuracy.correct == (scores.argmax(-1) == labels).sum()
    assert (voted.fusion.fragments, voted.fusion.channels) == ("max", "mean")
    one = run.rescore(channels=["average"])
    assert one.accuracy.correct == (posteriors[:, 2].mean(axis=1).argmax(-1) == labels).sum()


def test_other_posteriors_of_the_same_recordings(written):
    run = Run.open(written[0])
    certain = np.zeros((60, 3, 2, 10), np.float32)
    certain[np.arange(60), :, :, run.test_posteriors.label] = 1
    assert run.rescore(posteriors=certain).accuracy.correct == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "means"}, "fusion of fragments: expected one of mean, .*did you mean 'mean'"),
        ({"channel_fusion": "sum"}, "fusion of channels: expected one of mean"),
        ({"channels": "left,middle"}, "channel: expected one of left, right, average"),
        ({"channels": []}, "expected one or more channels of left, right, average, got none"),
    ],
)
def test_unknown_names_list_the_choices(written, options, message):
    with pytest.raises(UserError, match=message):
        Run.open(written[0]).rescore(**options)


def test_posteriors_of_another_run_are_refused(tmp_path):
    write_fake_run(tmp_path / "a")
    write_fake_run(tmp_path / "b", seed=1)
    other = (tmp_path / "b" / "posteriors.npz").read_bytes()
    (tmp_path / "a" / "posteriors.npz").write_bytes(other)
    assert read_results(tmp_path / "a").recordings == 60
    with pytest.raises(UserError, match="expected the posteriors behind the decisions"):
        Run.open(tmp_path / "a").rescore()
