"""Calibration and selective accuracy of a run's scores, measured on its test part."""

from dataclasses import dataclass

from ascjax.report import plots
from ascjax.report.image import Image
from ascjax.runs.run import Run
from ascjax.scoring.calibration import Calibration, temper
from ascjax.scoring.confidence import CalibrationError, expected_calibration_error, reliability
from ascjax.scoring.conformal import SetStatistics, prediction_sets, set_statistics
from ascjax.scoring.fusion import fuse
from ascjax.scoring.metrics import log_loss
from ascjax.scoring.selective import Answered, answered_statistics, coverage_accuracy

MAX_BINS, MIN_BIN_SIZE = 15, 10


@dataclass(frozen=True)
class ScoreQuality:
    """Scores before or after calibration: calibration error, and log loss in nats."""

    ece: CalibrationError
    log_loss: float


@dataclass(frozen=True)
class CalibrationReport:
    """Calibrated scores of the test part.

    Attributes:
      calibration: of the run, fitted on its validation part.
      before, after: of the scores as fused, and tempered.
      kept: accuracy aimed at → answers at the run's threshold for it; None where it has none.
      sets: coverage aimed at → prediction sets at the run's threshold for it.
      reliability, coverage: figures.
    """

    calibration: Calibration
    before: ScoreQuality
    after: ScoreQuality
    kept: dict[float, Answered | None]
    sets: dict[float, SetStatistics]
    reliability: Image
    coverage: Image


def assess(run: Run, calibration: Calibration) -> CalibrationReport:
    """Applies a run's calibration to its test posteriors.

    Raises:
      UserError: posteriors.npz is missing or damaged.
    """
    stored, by = run.test_posteriors, run.results.fusion
    labels = stored.label
    fused = fuse(stored.posteriors, fragments=by.fragments, channels=by.channels)
    tempered = temper(fused, calibration.temperature)
    bins = min(MAX_BINS, max(1, len(labels) // MIN_BIN_SIZE))
    before, after = (
        ScoreQuality(
            expected_calibration_error(scores, labels, bins=bins), log_loss(scores, labels)
        )
        for scores in (fused, tempered)
    )
    kept = {
        aim: None if threshold is None else answered_statistics(tempered, labels, threshold)
        for aim, threshold in calibration.thresholds.items()
    }
    diagram = plots.reliability(
        reliability(fused, labels, bins=bins), reliability(tempered, labels, bins=bins)
    )
    curve = plots.coverage(
        coverage_accuracy(tempered, labels),
        {aim: each for aim, each in kept.items() if each is not None},
    )
    return CalibrationReport(
        calibration=calibration,
        before=before,
        after=after,
        kept=kept,
        sets={
            aim: set_statistics(prediction_sets(tempered, threshold), labels)
            for aim, threshold in calibration.conformal.items()
        },
        reliability=Image.of(diagram, "Accuracy of bins of recordings over their mean score"),
        coverage=Image.of(curve, "Accuracy of the answers over the share of recordings answered"),
    )
