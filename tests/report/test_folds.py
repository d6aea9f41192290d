import re

import numpy as np
import pytest
from fake_run import write_fake_run
from html_page import Page

from ascjax.errors import UserError
from ascjax.report import folds
from ascjax.report.text import folds_table, interval, percent
from ascjax.scoring.clusters import ByLocation
from ascjax.scoring.metrics import pool_folds
from ascjax.scoring.rates import proportion


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folds with the folders of their runs, of which the first has its report."""
    workdir = tmp_path_factory.mktemp("runs") / "of <folds>"
    runs = [workdir / f"fold{fold}" for fold in (1, 2, 3)]
    results = {
        fold: write_fake_run(folder, fold=fold, seed=fold, recordings=40)
        for fold, folder in enumerate(runs, start=1)
    }
    (runs[0] / "report.html").write_text("a report")
    summary = pool_folds(
        {fold: each.accuracy for fold, each in results.items()},
        {fold: each.log_loss for fold, each in results.items()},
        ByLocation(41, (0.125, 0.75)),
        by_device=[{"a": proportion(11, 20), "s1": proportion(3, 7)}],
        by_seen=[{"seen": proportion(11, 20), "unseen": proportion(3, 7)}],
    )
    page = Page(folds.write(workdir, summary, runs).read_text(encoding="utf-8"))
    return summary, results, page, runs


def test_folds_and_all_of_them_with_their_counts(written):
    summary, results, page, _ = written
    for name, part in {
        **{f"fold {fold}": each.accuracy for fold, each in results.items()},
        "all pooled": summary.accuracy,
    }.items():
        numbers = (
            f"{percent(part.accuracy)} {interval(part.interval_95)} {part.correct} {part.total}"
        )
        assert f"{name} {numbers}" in page.plain
    assert f"{percent(summary.accuracy.accuracy)} of 120 test recordings recognised" in page.plain
    assert "resampled by 41 locations" in page.plain
    assert "of all folds is 12.5–75.0 %" in page.plain
    for name, device in (("seen", "a"), ("unseen", "s1")):
        part = summary.by_device[device]
        numbers = f"{percent(part.accuracy)} {interval(part.interval_95)}"
        assert f"{device} {numbers}" in page.plain
        assert f"{name} in training {numbers}" in page.plain
    assert "unseen in training" in folds_table(summary)


def test_scenes_are_pooled(written):
    _, results, page, _ = written
    pooled = np.sum([each.confusion for each in results.values()], axis=0)
    assert re.search(
        rf"airport {re.escape(percent(pooled[0, 0] / pooled[0].sum()))} .* {pooled[0, 0]} 12 ",
        page.plain,
    )


def test_written_reports_are_linked_and_the_name_is_text(written):
    *_, page, _ = written
    links = [value for value in page.refers_to if not value.startswith("data:")]
    assert links == ["fold1/report.html"]
    assert "of <folds>" in page.plain


def test_runs_of_other_scenes_are_refused(written, tmp_path):
    summary, _, _, runs = written
    write_fake_run(tmp_path / "other", scenes=("a", "b"), fold=4)
    with pytest.raises(UserError, match="other: expected the scenes airport, bus"):
        folds.write(tmp_path, summary, [*runs, tmp_path / "other"])


def test_scenes_are_text_in_elements_and_in_attributes(tmp_path):
    scenes = ("<script>alert(1)</script>", '" onload="alert(2)', "'><img src=x>")
    results = write_fake_run(tmp_path / "fold1", scenes=scenes, recordings=12, examples=False)
    summary = pool_folds({1: results.accuracy}, {1: results.log_loss})
    page = Page(folds.write(tmp_path, summary, [tmp_path / "fold1"]).read_text(encoding="utf-8"))
    assert all(scene in page.plain for scene in scenes)
    assert not {"onload", "x"} & {*page.attributes, *page.refers_to}
