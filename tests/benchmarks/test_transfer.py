import json
import shutil

import numpy as np
import pytest

from ascjax.errors import UserError
from ascjax.scoring.clusters import by_location
from benchmarks import transfer


def compare(tmp_path, *words):
    out = tmp_path / "out.json"
    transfer.main(transfer.parse(["transfer", *words, f"--out={out}"]))
    [rows] = json.loads(out.read_text())["tables"].values()
    return rows


def test_a_run_beside_itself_and_beside_one_with_one_more_mistake(finished_run, tmp_path):
    run = finished_run[0]
    other = tmp_path / "other" / "fold1"
    shutil.copytree(run, other)
    results = json.loads((other / "results.json").read_text())
    decisions, scenes = results["decisions"], results["scenes"]
    was = transfer.right(transfer.read(run))
    index = list(was.values()).index(True)
    predicted = decisions["predicted"]
    true = predicted[index]
    predicted[index] = next(scene for scene in scenes if scene != true)
    results["accuracy"]["correct"] -= 1
    (other / "results.json").write_text(json.dumps(results))
    words = [f"a={run}", f"b={run}", f"c={other.parent}", "--paper=c:-1.5"]
    first, same, worse = compare(tmp_path, *words)
    assert (first["correct"], first["of"]) == (sum(was.values()), len(was))
    assert (same["points"], same["McNemar's p"]) == (0, 1)
    assert (worse["alone right"], worse["first alone"], worse["McNemar's p"]) == (0, 1, 1)
    assert worse["points"] == pytest.approx(-100 / len(was), abs=0.01)
    assert worse["paper's points"] == -1.5
    decisions = transfer.read(run)[0].results.decisions
    assert len(set(decisions.location)) < len(decisions.location)
    over = by_location(np.array(list(was.values())), decisions.location).interval_95
    assert first["95 % by location"] == "–".join(f"{100 * bound:.1f}" for bound in over)
    assert (same["p by location"], worse["p by location"]) == (1, 1)


def test_without_locations_recordings_are_compared_alone(finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run[0], run)
    results = json.loads((run / "results.json").read_text())
    results["decisions"]["location"] = []
    (run / "results.json").write_text(json.dumps(results))
    [row] = compare(tmp_path, f"a={run}")
    assert row["McNemar's p"] == 1
    assert not row.keys() & {"95 % by location", "p by location"}


def test_what_can_t_be_compared_is_said(tmp_path):
    with pytest.raises(UserError, match="expected NAME=DIR, got runs"):
        transfer.parse(["transfer", "runs"])
    with pytest.raises(UserError, match="expected a finished run, or those of folds"):
        compare(tmp_path, f"a={tmp_path}")
