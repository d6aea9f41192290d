import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_run import write_fake_run

from ascjax import evaluate
from ascjax.errors import UserError
from ascjax.files import read_arrays
from ascjax.scoring import fusion, metrics


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
        results = evaluate.evaluate(folder)
        assert results.pop("own")["accuracy"] == results["accuracy"]
        assert results.pop("attended") == 1
        assert results.pop("mcnemar") == {"only_a": 0, "only_b": 0, "p": 1.0}
        own = json.loads((folder / "results.json").read_text())
        for took in ("seconds", "peak_memory_gb"):
            own.pop(took, None)
        assert results == own


def test_other_fusions_and_fewer_channels(run):
    results = evaluate.evaluate(
        run, fusion="vote", channel_fusion="log_mean", channels=["average", "left"]
    )
    whole = arrays(run)
    scores = fusion.fuse(whole["posteriors"][:, [0, 2]], fragments="vote", channels="log_mean")
    assert results["accuracy"]["correct"] == (scores.argmax(-1) == whole["label"]).sum()
    assert results["channels"] == list(results["by_channel"]) == ["left", "average"]
    assert results["fusion"] == {"fragments": "vote", "channels": "log_mean"}
    own = json.loads((run / "results.json").read_text())
    assert results["by_channel"]["left"] != own["by_channel"]["left"]
    assert results["log_loss"] != own["log_loss"]
    own_right = fusion.fuse(whole["posteriors"]).argmax(-1) == whole["label"]
    right = scores.argmax(-1) == whole["label"]
    assert results["decisions"]["recording"] == own["decisions"]["recording"]
    assert results["decisions"]["true"] == own["decisions"]["true"]
    np.testing.assert_array_equal(metrics.recognised(results), right)
    assert results["mcnemar"]["only_a"] == (right & ~own_right).sum()
    assert results["mcnemar"]["only_b"] == (own_right & ~right).sum() > 0


def test_it_prints_the_table_and_the_run_s_own_accuracy(run, capsys):
    command(run, "--fusion=max", "--channels=right")
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(
        "1 channel × 6 fragments; fused by max over fragments, mean over channels"
    )
    assert any(line.startswith("  right alone ") for line in said)
    own = json.loads((run / "results.json").read_text())["accuracy"]
    assert said[-3].startswith("max over 6 fragments, mean over right ")
    assert said[-2].startswith("the run: mean over 6 fragments, mean over left, right, average ")
    assert said[-2].split()[-2:] == [str(own["correct"]), "60"]
    assert re.fullmatch(
        r"alone right on \d+ recordings?, the run alone on \d+; McNemar's test: p = .*", said[-1]
    )


def test_attention_is_named_with_the_fragments_that_it_fuses(tmp_path, capsys):
    run = tmp_path / "attending"
    write_fake_run(run, fragments=1)
    config = json.loads((run / "config.json").read_text())
    config["fragments"] = {"count": 3, "overlap": 0.0, "attention": True}
    (run / "config.json").write_text(json.dumps(config))
    command(run, "--channels=left")
    said = capsys.readouterr().out.splitlines()
    assert said[-3].startswith("attention over 3 fragments, mean over left ")
    assert said[-2].startswith("the run: attention over 3 fragments, mean over left, right, av")


def test_results_are_written_once_as_json(run, tmp_path, capsys):
    out = tmp_path / "vote.json"
    command(run, "--fusion=vote", f"--out={out}")
    assert f"results: {out}" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written.pop("run") == str(run)
    assert written == json.loads(json.dumps(evaluate.evaluate(run, fusion="vote")))
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


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--fusion=avg", "--fusion: expected one of mean, log_mean, max, median, vote, got 'avg'"),
        ("--channel_fusion=avg", "--channel_fusion: expected one of mean"),
        ("--channels=left,middle", "--channels: expected one of left, right, average, got 'mid"),
        ("--channels=", "--channels: expected one of left, right, average, got ''"),
        ("--test_fragments=0", "--test_fragments: expected 1 or more, got 0"),
        ("--test_fragments=two", "--test_fragments: invalid int value: 'two'"),
        ("--fussion=max", "unknown '--fussion'; did you mean '--fusion'"),
        ("--run=nowhere", "--run: expected a folder, there is none at nowhere"),
        ("--out=/nowhere/x.json", "--out=/nowhere/x.json: cannot be written"),
    ],
)
def test_mistakes_are_answered(run, flag, message):
    with pytest.raises(UserError, match=message):
        command(run, flag)


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
    (run / "results.json").write_text(json.dumps({**whole, "format": 3}))
    with pytest.raises(UserError, match="expected format 2, got 3; use the version of ascjax that"):
        command(run)
    (run / "results.json").unlink()
    with pytest.raises(UserError, match=r"results\.json: expected this file of a finished run"):
        command(run)


def test_other_fragments_run_the_model(finished_run):
    run, _ = finished_run
    stored = read_arrays(run / "posteriors.npz", "posteriors", "label", "recording")
    again = evaluate.run_model(run, stored, fragments=2)
    np.testing.assert_allclose(again, stored["posteriors"], atol=1e-5)
    one = evaluate.evaluate(run, test_fragments=1, channels=["left"])
    assert (one["fragments"], one["channels"]) == (1, ["left"])
    assert one["single_fragment"]["total"] == one["recordings"] == 15
    with pytest.raises(UserError, match="at least 32 mel bands × 32 frames, got 40 × 29"):
        evaluate.evaluate(run, test_fragments=3)


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
        evaluate.evaluate(synthetic, test_fragments=1, data_root=str(empty))
    assert not list(empty.iterdir())
    with pytest.raises(
        UserError, match=r"config\.data\.root: .*away isn't there; pass --data_root"
    ):
        evaluate.evaluate(run, test_fragments=1)
    there = evaluate.evaluate(run, test_fragments=1, data_root=str(moved))
    assert there == evaluate.evaluate(finished_run[0], test_fragments=1)
    (moved / "bus" / "1-000-A.wav").unlink()
    with pytest.raises(UserError, match=r"the test part of .*moved isn't what the run was tested"):
        evaluate.evaluate(run, test_fragments=1, data_root=str(moved))
