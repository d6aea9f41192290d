"""What is known of a set's folds together."""

import numpy as np
import pytest
from fake_run import write_fake_run
from ml_collections import ConfigDict

from ascjax.report.text import folds_table, interval
from ascjax.runs import folds
from ascjax.runs.folder import read_posteriors, read_results
from ascjax.scoring.clusters import cluster_bootstrap_interval
from ascjax.scoring.fusion import fuse
from ascjax.scoring.metrics import scene_log_losses


def test_scenes_and_devices_are_pooled_with_their_locations(tmp_path):
    runs = []
    for fold, trained in ((1, ("a", "b")), (2, ("a",))):
        path = tmp_path / f"fold{fold}"
        write_fake_run(
            path, fold=fold, seed=fold, devices=("a", "b", "s1"), trained_devices=trained,
            examples=False,
        )  # fmt: skip
        runs.append(folds.PlannedRun("x", ConfigDict({"data": {"fold": fold}}), path))
    outcome = folds.read(runs)
    results = [read_results(run.path) for run in runs]
    stored = [read_posteriors(run.path, each) for run, each in zip(runs, results, strict=True)]
    device = np.concatenate([each.device for each in stored])
    location = np.concatenate([each.location for each in stored])
    right = np.concatenate([each.right for each in results])
    of_b = device == "b"
    bounds = cluster_bootstrap_interval(right[of_b], location[of_b].tolist())
    assert outcome.summary.by_device["b"].by_location == bounds
    first = np.arange(len(right)) < results[0].recordings
    seen = (device == "a") | (of_b & first)
    assert (np.array(outcome.seen) == "seen").tolist() == seen.tolist()
    part = outcome.summary.by_seen["unseen"]
    assert (part.correct, part.total) == (int(right[~seen].sum()), int((~seen).sum()))
    assert part.by_location == cluster_bootstrap_interval(right[~seen], location[~seen].tolist())
    assert interval(part.by_location) in folds_table(outcome.summary)
    scores = np.concatenate([fuse(each.posteriors) for each in stored])
    labels = np.concatenate([each.label for each in stored])
    losses = list(scene_log_losses(scores, labels).values())
    assert outcome.summary.macro_log_loss == pytest.approx(np.mean(losses))
    accuracies = [right[labels == scene].mean() for scene in np.unique(labels)]
    assert outcome.summary.macro_accuracy == pytest.approx(np.mean(accuracies))
