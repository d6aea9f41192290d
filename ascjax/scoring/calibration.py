"""Calibration of a run's scores: a temperature and thresholds, fitted on validation recordings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ascjax.scoring.confidence import check_scores
from ascjax.scoring.conformal import conformal_threshold
from ascjax.scoring.fusion import LOG_FLOOR, namespace, widened
from ascjax.scoring.selective import abstention_threshold

# Temperatures beyond these leave nothing but the order of the scores, or not even that.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
ACCURACIES = (0.8, 0.9, 0.95, 0.99)
COVERAGES = (0.8, 0.9, 0.95)


def temper(
    scores: Float[Any, "recording scene"], temperature: float
) -> Float[Any, "recording scene"]:
    """Returns softmax(ln(scores) / temperature), in float64, summing to 1 over scenes.

    The fused scores are tempered, not the posteriors they are made of: they are what is reported,
    and tempered posteriors would not fuse to calibrated scores. A temperature above 1 lowers the
    confidence, one below raises it; the order of the scenes stays. Scores of 0 count as
    `fusion.LOG_FLOOR`.

    Raises:
      ValueError: ``temperature`` is not finite and positive.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"expected a finite temperature above 0, got {temperature}")
    return _softmax(_logs(scores) / temperature)


def fit_temperature(
    scores: Float[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> float:
    """Temperature that minimises the log loss of tempered scores.

    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML
    2017. Labels are smoothed as in J. Platt, "Probabilistic outputs for support vector machines",
    1999: as if one more recording were shared evenly by all scenes, so that a few recordings, all
    of them correct, do not call for certainty. With n recordings that weighs 1 / (n + 1).

    Args:
      scores: of the validation part, not tempered.
      labels: its true scenes.

    Returns:
      A value in ``MIN_TEMPERATURE`` to ``MAX_TEMPERATURE``; 1 if all scores of each recording are
      equal, so that no temperature has an effect.

    Raises:
      ValueError: see `confidence.check_scores`.
    """
    check_scores(scores, labels)
    logs = _logs(scores)
    if (logs == logs[:, :1]).all():
        return 1.0
    smoothing = 1 / (len(labels) + 1)
    true_logs = np.take_along_axis(logs, labels[:, None], axis=1)
    target = ((1 - smoothing) * true_logs[:, 0] + smoothing * logs.mean(axis=1)).mean()

    def slope(log_temperature: float) -> float:
        """Derivative of the log loss by 1 / temperature, in which the loss is convex."""
        tempered = _softmax(logs / math.exp(log_temperature))
        return float((tempered * logs).sum(axis=1).mean() - target)

    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    for _ in range(50):
        middle = (low + high) / 2
        # 1 / temperature falls as the temperature grows: beyond the minimum the slope is negative.
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def _logs(scores: Any) -> Any:
    xp = namespace(scores)
    return xp.log(xp.maximum(widened(scores), LOG_FLOOR))


def _softmax(logits: Any) -> Any:
    weights = namespace(logits).exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Calibration:
    """What a run keeps to turn fused scores into calibrated ones, and these into decisions.

    It holds for scores fused as those that it was fitted on. Its guarantees are for recordings
    drawn as the validation recordings were. All of it is fitted on the same recordings; that the
    temperature (one number) and the epoch were chosen on them too makes it slightly optimistic.

    Attributes:
      temperature: for `temper`. All thresholds below are on tempered scores.
      thresholds: accuracy → threshold of `selective.answers`, as `selective.abstention_threshold`;
        None where that accuracy can't be guaranteed.
      conformal: coverage → threshold of `conformal.prediction_sets`.
      recordings: how many it was fitted on.
      part: of the data set, which; never the test part.
      unknown: least score of an answer (`open_set.fit_threshold`); 0 without recordings to fit it.

    Raises:
      ValueError: a value outside of its range, or the test part.
    """

    temperature: float
    thresholds: dict[float, float | None]
    conformal: dict[float, float]
    recordings: int
    part: str = "validation"
    unknown: float = 0.0

    def __post_init__(self) -> None:
        rates = [self.unknown, *self.thresholds, *self.conformal, *self.conformal.values()]
        rates += [each for each in self.thresholds.values() if each is not None]
        if not all(0 <= each <= 1 for each in rates):
            raise ValueError(f"calibration: expected rates and thresholds in 0..1, got {rates}")
        if not MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE:
            raise ValueError(
                f"calibration: expected a temperature in {MIN_TEMPERATURE}..{MAX_TEMPERATURE}, "
                f"got {self.temperature}"
            )
        if self.recordings < 1:
            raise ValueError(f"calibration: expected at least 1 recording, got {self.recordings}")
        if self.part == "test":
            raise ValueError("calibration: never fitted on the test part")

    @classmethod
    def fit(
        cls,
        scores: Float[np.ndarray, "recording scene"],
        labels: Int[np.ndarray, " recording"],
        *,
        accuracies: Sequence[float] = ACCURACIES,
        coverages: Sequence[float] = COVERAGES,
        part: str = "validation",
    ) -> "Calibration":
        """Returns the calibration that fits the fused scores of the validation part.

        Raises:
          ValueError: see `confidence.check_scores`; rates outside of 0..1; the test part.
        """
        temperature = fit_temperature(scores, labels)
        tempered = temper(scores, temperature)
        return cls(
            temperature=temperature,
            thresholds={
                each: abstention_threshold(tempered, labels, accuracy=each) for each in accuracies
            },
            conformal={
                each: conformal_threshold(tempered, labels, coverage=each) for each in coverages
            },
            recordings=len(labels),
            part=part,
        )
