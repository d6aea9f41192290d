"""How well scores predict accuracy: reliability diagram and expected calibration error.

The *confidence* of a decision is its score, the largest of the recording's. Scores are calibrated
when, of all decisions of confidence c, a share c is correct.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ascjax.scoring.rates import Proportion, proportion


def check_scores(
    scores: Float[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> None:
    """Raises ValueError unless ``scores`` has recordings, and labels that index its scenes."""
    recordings, scenes = scores.shape
    if recordings == 0:
        raise ValueError("expected scores of at least 1 recording, got none")
    if len(labels) != recordings:
        raise ValueError(f"expected {recordings} labels, one a recording, got {len(labels)}")
    if labels.min() < 0 or labels.max() >= scenes:
        raise ValueError(
            f"labels must be within 0..{scenes - 1}, got {labels.min()}..{labels.max()}"
        )
    if not np.isfinite(scores).all() or scores.min() < 0:
        raise ValueError("scores must be finite and ≥ 0 (are these logits?)")


def decide(
    scores: Float[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> tuple[Float[np.ndarray, " recording"], Bool[np.ndarray, " recording"]]:
    """Returns the confidence of each decision, and whether it is correct.

    Raises:
      ValueError: see `check_scores`.
    """
    check_scores(scores, labels)
    return scores.max(axis=1), scores.argmax(axis=1) == labels


def equal_mass_bins(
    confidence: Float[np.ndarray, " recording"], bins: int
) -> Int[np.ndarray, " recording"]:
    """Index of each recording's bin, from 0 at the lowest confidence.

    Bins begin at quantiles of the confidence, and so hold about equally many recordings. Equal
    confidences share a bin, so that the order of the recordings has no influence; ties can
    therefore make bins uneven, and fewer than ``bins``.

    Raises:
      ValueError: ``bins`` is less than 1.
    """
    if bins < 1:
        raise ValueError(f"expected at least 1 bin, got {bins}")
    starts = np.arange(1, bins) * len(confidence) // bins
    edges = np.unique(np.sort(confidence)[starts])
    return np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)[1]


@dataclass(frozen=True)
class ReliabilityBin:
    """Mean confidence of a bin of recordings and how many of them are correct."""

    confidence: float
    correct: Proportion


def reliability(
    scores: Float[np.ndarray, "recording scene"],
    labels: Int[np.ndarray, " recording"],
    *,
    bins: int = 15,
) -> list[ReliabilityBin]:
    """Points of a reliability diagram, in order of confidence.

    A. Niculescu-Mizil, R. Caruana, "Predicting good probabilities with supervised learning", ICML
    2005; bins of equal mass, as in `expected_calibration_error`.

    Returns:
      The bins that hold recordings.

    Raises:
      ValueError: see `check_scores`; fewer than 1 bin.
    """
    confidence, correct = decide(scores, labels)
    bin_index = equal_mass_bins(confidence, bins)
    totals, hits = np.bincount(bin_index), np.bincount(bin_index, correct)
    means = np.bincount(bin_index, confidence) / totals
    return [
        ReliabilityBin(float(mean), proportion(int(hit), int(total)))
        for mean, hit, total in zip(means, hits, totals, strict=True)
    ]


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error in 0..1 with its interval.

    ``by_chance`` is what perfectly calibrated scores would show, ``bins`` the bins in use.
    """

    error: float
    interval_95: tuple[float, float]
    by_chance: float
    bins: int


def expected_calibration_error(
    scores: Float[np.ndarray, "recording scene"],
    labels: Int[np.ndarray, " recording"],
    *,
    bins: int = 15,
    repeats: int = 1000,
    seed: int = 0,
) -> CalibrationError:
    """Expected calibration error: mean distance of accuracy from confidence, by bins.

    M. P. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI 2015. Bins hold equally many recordings (J. Nixon et al., "Measuring calibration
    in deep learning", CVPR Workshops 2019): of bins of equal width most stay nearly empty when
    confidences crowd near 1.

    Chance deviations within a bin count as error, so the estimate is biased upwards, most of all
    with few recordings. ``by_chance`` is what perfectly calibrated scores of the same confidences
    would show (consistency resampling: J. Bröcker, L. A. Smith, "Increasing the reliability of
    reliability diagrams", Weather and Forecasting 22, 2007).

    The interval is the basic bootstrap's, 2 e − quantiles of the resampled e (A. C. Davison, D. V.
    Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2): it subtracts the bias
    that percentiles would add a second time. It begins at 0 where perfectly calibrated scores would
    reach the estimate in more than 2.5 % of draws. In simulations with 200 to 2,500 recordings it
    held the true error in 86 to 97 % of them. It can lie below the estimate.

    Args:
      scores: fused, tempered or not.
      labels: the true scenes.
      bins: at least 1.
      repeats: draws, at least 1, for the interval and for ``by_chance``.
      seed: of the draws; the same seed gives the same results.

    Raises:
      ValueError: see `check_scores`; fewer than 1 bin.
    """
    confidence, correct = decide(scores, labels)
    bin_index = equal_mass_bins(confidence, bins)
    gaps, total = confidence - correct, len(correct)

    def error(of_bins: np.ndarray, gaps: np.ndarray) -> float:
        return float(np.abs(np.bincount(of_bins, gaps)).sum() / total)

    rng = np.random.default_rng(seed)
    resamples = (rng.integers(total, size=total) for _ in range(repeats))
    resampled = [error(bin_index[chosen], gaps[chosen]) for chosen in resamples]
    draws = (rng.random(total) < confidence for _ in range(repeats))
    by_chance = [error(bin_index, confidence - drawn) for drawn in draws]

    estimate = error(bin_index, gaps)
    low, high = 2 * estimate - np.quantile(resampled, (0.975, 0.025))
    if estimate <= np.quantile(by_chance, 0.975):
        low = 0.0
    return CalibrationError(
        error=estimate,
        interval_95=(max(0.0, float(low)), max(0.0, float(high))),
        by_chance=float(np.mean(by_chance)),
        bins=int(bin_index.max()) + 1,
    )
