import json
import shutil

import pytest

from ascjax.errors import UserError
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


def test_what_can_t_be_compared_is_said(tmp_path):
    with pytest.raises(UserError, match="expected NAME=DIR, got runs"):
        transfer.parse(["transfer", "runs"])
    with pytest.raises(UserError, match="expected a finished run, or those of folds"):
        compare(tmp_path, f"a={tmp_path}")
