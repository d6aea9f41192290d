import json

import fake_run
import pytest
import tiny_set

import ascjax
from ascjax.errors import UserError
from ascjax.files import write_json
from ascjax.report import report, text
from ascjax.runs import experiment
from ascjax.runs.following import follow


@pytest.fixture
def validated(tmp_path):
    """A run whose first epoch was best, of three, and the config that follows it."""
    folder = tmp_path / "validated"
    fake_run.write_fake_run(folder, protocol="validated", epochs=1)
    root = tiny_set.write_set(tmp_path / "set", per_scene=4)
    config = tiny_set.config(tmp_path, root, protocol="validated", **{"train.num_epochs": 3})
    write_json(folder / "config.json", config.to_dict())
    config.protocol = "all"
    config.train.from_run = str(folder)
    config.seed = 5  # chance may differ
    return folder, config


def test_every_recording_is_trained_on_for_the_followed_length(validated, tmp_path):
    folder, config = validated
    run = experiment.train(config, tmp_path / "all", report.write)
    assert (run.info.recordings.train, run.info.recordings.test) == (12, 0)
    assert run.info.followed.epochs == 1
    epochs = (tmp_path / "all" / "metrics.jsonl").read_text().splitlines()
    assert len(epochs) == 1
    # At the rates of three epochs, not of one: far from the schedule's end.
    assert json.loads(epochs[0])["learning_rate"] > 0.5 * config.optimizer.learning_rate
    theirs = ascjax.Run.open(folder).trained.calibration
    assert run.trained.calibration.temperature == theirs.temperature
    assert run.trained.calibration.thresholds == theirs.thresholds
    assert run.trained.calibration.part == "validation recordings of the run validated"

    again = ascjax.Run.open(tmp_path / "all")
    assert "trained on every recording" in repr(again)
    with pytest.raises(UserError, match="has no test part and no accuracy"):
        _ = again.results
    assert "no test part" in (tmp_path / "all" / "report.html").read_text()
    assert "trained on all 12 recordings: there is no test part" in text.untested(again.info)
    prediction = ascjax.load(tmp_path / "all").predict(tiny_set.write_wave(tmp_path / "new.wav"))
    assert sum(prediction.scores.values()) == pytest.approx(1)


def test_what_can_t_be_followed(validated, tmp_path, finished_run):
    folder, config = validated
    assert follow(config).run.run == "validated"
    config.model.head = "mlp"
    with pytest.raises(UserError, match="has other settings: model.head .'gap' there, 'mlp' now"):
        follow(config)
    config.model.head = "gap"
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match="has no line for step 100"):
        follow(config)
    config.train.from_run = str(finished_run[0])
    with pytest.raises(UserError, match="expected a run of the protocol validated.*paper"):
        follow(config)
    config.train.from_run = str(tmp_path / "nothing")
    with pytest.raises(UserError, match="expected the folder of a run, there is none"):
        follow(config)


@pytest.mark.parametrize(("protocol", "from_run"), [("all", ""), ("validated", "runs/mine")])
def test_the_protocol_and_the_run_go_together(protocol, from_run, tmp_path):
    config = tiny_set.config(tmp_path, tmp_path, protocol=protocol, **{"train.from_run": from_run})
    with pytest.raises(UserError, match=r"config.train.from_run is .*expected the folder of a run"):
        experiment.train(config, tmp_path / "run")
