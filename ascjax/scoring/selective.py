"""Selective classification: answering only where the score is large enough, and its accuracy.

Y. Geifman, R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017. A
recording is *answered* if its confidence, the largest of its scores, is at least a threshold;
*coverage* is the share of recordings that are answered.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ascjax.scoring.confidence import decide
from ascjax.scoring.rates import Proportion, proportion

# Probability that a threshold keeps less than the accuracy that it is meant to.
RISK_OF_FAILURE = 0.05
# The coverages that `abstention_threshold` chooses from: fixed, so that no label influences them.
COVERAGES = tuple(step / 20 for step in range(20, 0, -1))


@dataclass(frozen=True)
class CoverageCurve:
    """Coverage and accuracy at every threshold, from the strictest to answering everything.

    Attributes:
      threshold: [step], the distinct confidences in 0..1, descending.
      coverage: [step], the share in 0..1 of recordings of at least that confidence, ascending.
      accuracy: [step], theirs in 0..1.
    """

    threshold: np.ndarray
    coverage: np.ndarray
    accuracy: np.ndarray

    @property
    def risk_area(self) -> float:
        """Area under the risk–coverage curve (AURC) in 0..1; smaller is better.

        The mean over recordings of the error rate among those that are at least as confident: Y.
        Geifman, G. Uziel, R. El-Yaniv, "Bias-reduced uncertainty estimation for deep neural
        classifiers", ICLR 2019, with equal confidences answered together.
        """
        return float(np.diff(self.coverage, prepend=0.0) @ (1 - self.accuracy))


def coverage_accuracy(
    scores: Float[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> CoverageCurve:
    """Returns the coverage–accuracy curve; 1 − accuracy over coverage is the risk–coverage curve.

    Raises:
      ValueError: see `confidence.check_scores`.
    """
    confidence, correct = decide(scores, labels)
    threshold, step = np.unique(-confidence, return_inverse=True)
    answered = np.bincount(step).cumsum()
    accuracy = np.bincount(step, correct).cumsum() / answered
    return CoverageCurve(-threshold, answered / len(correct), accuracy)


def answers(
    scores: Float[np.ndarray, "recording scene"], threshold: float
) -> Bool[np.ndarray, " recording"]:
    """Whether each recording is answered at ``threshold``; the others are "unknown"."""
    return scores.max(axis=1) >= threshold


@dataclass(frozen=True)
class Answered:
    """Share of recordings answered at a threshold, and how many of these are correct."""

    threshold: float
    coverage: float
    correct: Proportion


def answered_statistics(
    scores: Float[np.ndarray, "recording scene"],
    labels: Int[np.ndarray, " recording"],
    threshold: float,
) -> Answered:
    """How many recordings are answered at ``threshold``, and how many of these correctly.

    Raises:
      ValueError: see `confidence.check_scores`.
    """
    _, correct = decide(scores, labels)
    answered = answers(scores, threshold)
    return Answered(
        threshold=threshold,
        coverage=float(answered.mean()),
        correct=proportion(int(correct[answered].sum()), int(answered.sum())),
    )


def abstention_threshold(
    scores: Float[np.ndarray, "recording scene"],
    labels: Int[np.ndarray, " recording"],
    *,
    accuracy: float = 0.95,
    risk_of_failure: float = RISK_OF_FAILURE,
) -> float | None:
    """Smallest threshold whose answers are correct at a rate ≥ ``accuracy``, with confidence.

    What must reach the target is not the accuracy on these recordings but its lower confidence
    bound (Clopper and Pearson's, one-sided). Several thresholds are tried and the best is taken; as
    in Geifman and El-Yaniv's SGR, their bounds share the risk of failure evenly, so that all hold,
    and with them the chosen one, with probability 1 − ``risk_of_failure`` over the draw of these
    recordings. SGR finds its thresholds by a binary search that depends on the labels, which a
    union bound does not cover; here they lie at ``COVERAGES``, fixed beforehand (A. N. Angelopoulos
    et al., "Learn then test: Calibrating predictive algorithms to achieve risk control", 2021).

    New recordings are assumed to be drawn as these were, independently. Where many come from few
    locations, the bound is optimistic.

    Args:
      scores: of the validation part.
      labels: its true scenes.
      accuracy: within 0..1, both excluded. 95 % takes at least 117 answered recordings, 99 % 597.
      risk_of_failure: within 0..1, both excluded.

    Returns:
      A threshold for `answers`; None if no coverage will do.

    Raises:
      ValueError: see `confidence.check_scores`; an accuracy or risk outside of its range.
    """
    for name, value in (("accuracy", accuracy), ("risk_of_failure", risk_of_failure)):
        if not 0 < value < 1:
            raise ValueError(f"expected {name} within 0..1, both excluded, got {value}")
    confidence, correct = decide(scores, labels)
    descending = np.sort(confidence)[::-1]
    for coverage in COVERAGES:
        threshold = _threshold_at(descending, coverage)
        outcomes = correct[confidence >= threshold]
        wrong = len(outcomes) - int(outcomes.sum())
        # A lower bound of at least `accuracy` is a test that rejects any larger error rate.
        p = binomial_cdf(wrong, len(outcomes), 1 - accuracy)
        if p <= risk_of_failure / len(COVERAGES):
            return threshold
    return None


def _threshold_at(descending: np.ndarray, coverage: float) -> float:
    """Threshold that answers at most ``coverage`` of the recordings, and fewer where they tie.

    It lies just above the first confidence that is not answered. Given that one, those above are
    independent draws of what will be answered, as the binomial test assumes; given one of their
    own, they are not.
    """
    count = int(coverage * len(descending) + 1e-9)
    return 0.0 if count == len(descending) else float(np.nextafter(descending[count], np.inf))


def binomial_cdf(successes: int, trials: int, rate: float) -> float:
    """Probability of at most ``successes`` in ``trials`` of success ``rate`` (0..1, excluded)."""
    counts = np.arange(successes + 1)
    ratios = np.log((trials - counts[1:] + 1) / counts[1:])
    log_choose = np.concatenate([[0.0], ratios.cumsum()])
    logs = log_choose + counts * np.log(rate) + (trials - counts) * np.log1p(-rate)
    return min(1.0, float(np.exp(logs).sum()))
