import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_run import write_fake_run

from ascjax import evaluate, records
from ascjax.errors import UserError
from ascjax.files import read_arrays
from ascjax.runs.rescore import Rescored, rescore, run_model
from ascjax.runs.run import Run
from ascjax.scoring import fusion
from ascjax.scoring.clusters import mcnemar_clustered
from ascjax.scoring.results import Results
from ascjax.scoring.significance import McNemar


@pytest.fixture
def run(tmp_path):
    write_fake_run(tmp_path / "run")
    return tmp_path / "run"


def command(run, *flags):
    evaluate.main(evaluate.parse(["evaluate", f"--run={run}", *flags]))


def arrays(run):
    return read_arrays(run / "posteriors.npz", "posteriors", "label")


def test_as_the_run_was_it_gives_the_run_s_own_results(run, finished_run):
    for folder in (run, finished_run[0]):
        own = Run.open(folder)
        results = rescore(own)
        for field in dataclasses.fields(Results):
            assert getattr(results, field.name) == getattr(own.results, field.name), field.name
        assert results.own_accuracy == results.accuracy
        assert results.own_decisions == results.decisions
        assert (results.run, results.step) == (str(folder), own.results.step)
        assert results.mcnemar == McNemar(only_a=0, only_b=0, p=1.0)


def test_other_fusions_and_fewer_channels(run):
    own = Run.open(run)
    results = rescore(own, fusion="vote", channel_fusion="log_mean", channels=["average", "left"])
    whole = arrays(run)
    scores = fusion.fuse(whole["posteriors"][:, [0, 2]], fragments="vote", channels="log_mean")
    right = scores.argmax(-1) == whole["label"]
    assert results.accuracy.correct == right.sum()
    assert list(results.channels) == list(results.by_channel) == ["left", "average"]
    assert results.fusion == fusion.Fusion("vote", "log_mean")
    assert results.by_channel["left"] != own.results.by_channel["left"]
    assert results.log_loss != own.results.log_loss
    own_right = fusion.fuse(whole["posteriors"]).argmax(-1) == whole["label"]
    assert results.decisions.recording == own.results.decisions.recording
    assert results.decisions.true == own.results.decisions.true
    np.testing.assert_array_equal(results.right, right)
    assert results.mcnemar.only_a == (right & ~own_right).sum()
    assert results.mcnemar.only_b == (own_right & ~right).sum() > 0
    locations = own.test_posteriors.location.tolist()
    assert results.mcnemar_by_location == mcnemar_clustered(right, own_right, locations)


def test_it_prints_the_table_and_the_run_s_own_accuracy(run, capsys):
    command(run, "--fusion=max", "--channels=right")
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(
        "1 channel × 6 fragments; fused by max over fragments, mean over channels"
    )
    own = json.loads((run / "results.json").read_text())["accuracy"]
    assert said[-4].startswith("max over 6 fragments, mean over right ")
    assert said[-3].startswith("the run: mean over 6 fragments, mean over left, right, average ")
    assert said[-3].split()[-2:] == [str(own["correct"]), "60"]
    assert re.fullmatch(
        r"alone right on \d+ recordings?, the run alone on \d+; McNemar's test: p = .*", said[-2]
    )
    assert re.fullmatch(
        r"by location, better at \d+ of \d+, the run at \d+; McNemar's test for clusters: p = .*",
        said[-1],
    )


def test_results_are_written_once_as_json(run, tmp_path, capsys):
    out = tmp_path / "vote.json"
    command(run, "--fusion=vote", f"--out={out}")
    assert f"results: {out}" in capsys.readouterr().out
    asked = rescore(Run.open(run), fusion="vote")
    assert records.read(out, Rescored, version=asked.format, hint="") == asked
    with pytest.raises(UserError, match=r"--out=.*vote\.json: is there already"):
        command(run, f"--out={out}")


def test_stored_posteriors_are_answered_without_jax(run):
    code = (
        "import sys; sys.modules['jax'] = None; from ascjax import evaluate as e; "
        f"e.main(e.parse(['', '--run={run}', '--fusion=median']))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True)
    assert b"fused by median" in done.stdout


def test_half_finished_and_damaged_runs_are_refused_by_name(run):
    whole = json.loads((run / "results.json").read_text())
    arrays_before = (run / "posteriors.npz").read_bytes()
    (run / "posteriors.npz").write_bytes(arrays_before[:1000])
    with pytest.raises(UserError, match=r"posteriors\.npz: .*remove results\.json"):
        command(run)
    (run / "posteriors.npz").unlink()
    with pytest.raises(UserError, match=r"posteriors\.npz: .*remove results\.json"):
        command(run)
    write_fake_run(run.parent / "other", seed=1)
    (run / "posteriors.npz").write_bytes((run.parent / "other" / "posteriors.npz").read_bytes())
    with pytest.raises(
        UserError, match="expected the posteriors behind the decisions in res.*anew"
    ):
        command(run)
    (run / "posteriors.npz").write_bytes(arrays_before)
    (run / "results.json").write_text(json.dumps({**whole, "format": 5}))
    with pytest.raises(UserError, match="expected format 4, got 5; use the version of ascjax that"):
        command(run)
    (run / "results.json").unlink()
    with pytest.raises(UserError, match=r"results\.json: expected this file of a finished run"):
        command(run)


def test_other_fragments_run_the_model(finished_run):
    run = Run.open(finished_run[0])
    np.testing.assert_allclose(run_model(run, fragments=2), run.posteriors, atol=1e-5)
    one = rescore(run, test_fragments=1, channels=["left"])
    assert (one.fragments, one.channels) == (1, ("left",))
    assert one.single_fragment.total == one.recordings == 15
    with pytest.raises(UserError, match="at least 32 mel bands × 32 frames, got 40 × 29"):
        rescore(run, test_fragments=3)


def test_a_data_set_that_has_moved_or_changed(finished_run, tmp_path):
    moved = shutil.copytree(finished_run[1], tmp_path / "moved")
    run = shutil.copytree(finished_run[0], tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["root"] = str(tmp_path / "away")
    config["train"]["batch_size"] = 4096  # more than there is, and no matter: nothing is trained
    (run / "config.json").write_text(json.dumps(config))
    config["data"]["layout"] = "synthetic"
    synthetic, empty = tmp_path / "synthetic", tmp_path / "empty"
    shutil.copytree(run, synthetic)
    (synthetic / "config.json").write_text(json.dumps(config))
    empty.mkdir()
    with pytest.raises(UserError, match=r"empty: expected a folder of audio files"):
        rescore(Run.open(synthetic), test_fragments=1, data_root=str(empty))
    assert not list(empty.iterdir())
    with pytest.raises(
        UserError, match=r"config\.data\.root: .*away isn't there; pass --data_root"
    ):
        rescore(Run.open(run), test_fragments=1)
    there = rescore(Run.open(run), test_fragments=1, data_root=str(moved))
    here = rescore(Run.open(finished_run[0]), test_fragments=1)
    assert there == dataclasses.replace(here, run=str(run))
    (moved / "bus" / "1-000-A.wav").unlink()
    with pytest.raises(UserError, match=r"the test part of .*moved isn't what the run was tested"):
        rescore(Run.open(run), test_fragments=1, data_root=str(moved))
