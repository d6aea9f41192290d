import json
import shutil

import numpy as np
import pytest
import tiny_set
from fake_run import write_fake_run

from ascjax.data.listing import Recording
from ascjax.errors import UserError
from ascjax.runs import experiment, teacher
from ascjax.runs.loading import load


def test_a_run_learns_from_another_ones_scores(finished_run, tmp_path):
    large, root = finished_run
    config = tiny_set.config(
        tmp_path, root, channels=("average",), num_devices=1,
        **{"model.trunk": "vgg_micro", "train.num_epochs": 1, "train.teacher": str(large)},
    )  # fmt: skip
    run = experiment.train(config, tmp_path / "run")
    assert run.info.teacher == load(large).runs[0].results.model_sha256
    stored = np.load(tmp_path / "run" / teacher.STORED)
    assert len(stored["recording"]) == run.info.recordings.train
    # As the teacher predicts them from the files alone, untempered.
    paths = [root / name for name in stored["recording"][:2]]
    expected = load(large).posteriors(paths).mean(axis=(1, 2))
    np.testing.assert_allclose(stored["scores"][:2], expected, atol=1e-5)


def test_a_teacher_that_may_know_the_test_part_is_refused(tmp_path):
    write_fake_run(tmp_path / "run", recordings=10, examples=False)
    known = load(tmp_path / "run")
    decided = known.runs[0].results.decisions.recording
    test = [Recording(name, tmp_path / name, "bus") for name in decided]
    assert teacher.check(str(tmp_path / "run"), known.scenes, test, 1).scenes == known.scenes
    strange = [*test, Recording("new.wav", tmp_path / "new.wav", "bus")]
    with pytest.raises(UserError, match="recordings of this run's test part, e.g. new.wav"):
        teacher.check(str(tmp_path / "run"), known.scenes, strange, 1)
    with pytest.raises(UserError, match="its scenes are airport, .*; expected .*, bus, park"):
        teacher.check(str(tmp_path / "run"), ("bus", "park"), test, 1)
    shutil.copytree(tmp_path / "run", tmp_path / "folds" / "fold1")
    shutil.copytree(tmp_path / "run", tmp_path / "folds" / "fold2")
    info = json.loads((tmp_path / "folds" / "fold2" / "run.json").read_text())
    info["data"]["fold"] = 2
    (tmp_path / "folds" / "fold2" / "run.json").write_text(json.dumps(info))
    found = teacher.check(str(tmp_path / "folds"), known.scenes, test, 2)
    assert [run.path for run in found.runs] == [tmp_path / "folds" / "fold2"]
    with pytest.raises(UserError, match="expected one run on the same fold"):
        teacher.check(str(tmp_path / "folds"), known.scenes, test, 3)
