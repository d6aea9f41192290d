"""Accuracies with the counts behind them, and Wilson's interval."""

import math
from dataclasses import dataclass

# Two-sided 95 % quantile of the normal distribution.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """Share of correct decisions; ``accuracy`` is None where there were none to count."""

    correct: int
    total: int
    accuracy: float | None


@dataclass(frozen=True)
class Proportion(Rate):
    """A rate with its 95 % intervals.

    Attributes:
      interval_95: of independent decisions (`wilson_interval`).
      by_location: from a bootstrap over locations (`clusters.by_location`), where that was asked
        for and all of them are known.
    """

    interval_95: tuple[float, float] | None
    by_location: tuple[float, float] | None = None


def wilson_interval(correct: float, total: int) -> tuple[float, float]:
    """95 % interval of a rate: Wilson's score interval, without continuity correction.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am.
    Stat. Assoc. 22 (1927). Unlike p ± 1.96 √(p(1 − p)/n) it stays within 0..1 and keeps its
    coverage with few recordings and near 0 and 1 (Brown, Cai, DasGupta, Statistical Science 16,
    2001).

    Args:
      correct: successes, 0..``total``; a mean over seeds may be fractional.
      total: trials, at least 1.

    Returns:
      Lower and upper bound in 0..1.

    Raises:
      ValueError: counts that are no rate.
    """
    if not 0 <= correct <= total or total < 1:
        raise ValueError(f"expected 0 <= correct <= total and total >= 1, got {correct} of {total}")
    rate, z2_by_n = correct / total, Z_95**2 / total
    centre = (rate + z2_by_n / 2) / (1 + z2_by_n)
    half = math.sqrt(z2_by_n * (rate * (1 - rate) + z2_by_n / 4)) / (1 + z2_by_n)
    # The bounds at 0 and n of n are 0 and 1 exactly; rounding must not put them a hair inside.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return low, high


def rate(correct: int, total: int) -> Rate:
    """Returns the share of correct decisions without an interval."""
    return Rate(correct, total, correct / total if total else None)


def proportion(correct: int, total: int) -> Proportion:
    """Returns the share of correct decisions with its interval."""
    if not total:
        return Proportion(correct, total, None, None)
    return Proportion(correct, total, correct / total, wilson_interval(correct, total))
