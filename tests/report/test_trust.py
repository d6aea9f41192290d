import numpy as np
import pytest
from fake_run import write_fake_run

from ascjax.report.trust import assess
from ascjax.runs.run import Run


@pytest.fixture(scope="module")
def assessed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    results = write_fake_run(folder, recordings=200, protocol="validated")
    run = Run.open(folder)
    fused = run.posteriors.astype(float).mean(axis=(1, 2))
    tempered = fused ** (1 / results.calibration.temperature)
    tempered /= tempered.sum(axis=1, keepdims=True)
    return assess(run, results.calibration), tempered, run


def test_answers_are_counted_at_the_runs_thresholds_on_tempered_scores(assessed):
    trust, tempered, run = assessed
    right = tempered.argmax(axis=1) == run.test_posteriors.label
    assert trust.kept.keys() == trust.calibration.thresholds.keys()
    assert trust.kept[0.99] is None
    for aim, answered in trust.kept.items():
        if answered is not None:
            mask = tempered.max(axis=1) >= trust.calibration.thresholds[aim]
            assert answered.coverage == pytest.approx(mask.mean())
            assert (answered.correct.correct, answered.correct.total) == (
                right[mask].sum(),
                mask.sum(),
            )


def test_sets_are_those_of_the_runs_thresholds(assessed):
    trust, tempered, run = assessed
    for aim, threshold in trust.calibration.conformal.items():
        sets = 1 - tempered <= threshold
        assert trust.sets[aim].mean_size == pytest.approx(sets.sum(axis=1).mean())
        covered = sets[np.arange(200), run.test_posteriors.label]
        assert trust.sets[aim].covered.correct == covered.sum()


def test_calibration_helps_scores_that_lack_confidence(assessed):
    trust, tempered, run = assessed
    loss = -np.log(tempered[np.arange(200), run.test_posteriors.label]).mean()
    assert trust.after.log_loss == pytest.approx(loss)
    assert trust.after.log_loss < trust.before.log_loss == run.results.log_loss
    assert trust.after.ece.error < trust.before.ece.error
    assert trust.after.ece.bins == 15


def test_few_recordings_have_few_bins(tmp_path):
    results = write_fake_run(tmp_path, recordings=25, protocol="validated")
    trust = assess(Run.open(tmp_path), results.calibration)
    assert trust.after.ece.bins == 2
