"""Open-set classification: telling known scenes apart and rejecting everything else as unknown.

As DCASE 2019 task 1C has it: recordings of none of the scenes are tested too, and systems rank by
the mean of two accuracies, that of the known scenes and that of the unknown recordings.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ascjax.scoring.confidence import decide
from ascjax.scoring.metrics import confusion_matrix, macro_accuracy
from ascjax.scoring.rates import Proportion, proportion


@dataclass(frozen=True)
class OpenSet:
    """Results at a threshold, below which the answer is "unknown".

    Attributes:
      threshold: of the largest score.
      known: recordings of the scenes that are answered, and rightly.
      known_macro: their accuracy as the mean over scenes.
      unknown: the other recordings that are answered "unknown".
      mean: of ``known_macro`` and the accuracy of ``unknown``, each weighing half.
    """

    threshold: float
    known: Proportion
    known_macro: float
    unknown: Proportion
    mean: float


def measure(
    scores: Float[np.ndarray, "recording scene"],
    labels: Int[np.ndarray, " recording"],
    unknown_scores: Float[np.ndarray, "unknown scene"],
    threshold: float,
) -> OpenSet:
    """Measures decisions at a threshold.

    Args:
      scores: of recordings of the scenes.
      labels: theirs.
      unknown_scores: of recordings of none of the scenes, at least one.
      threshold: a lower largest score is "unknown".

    Raises:
      ValueError: see `confidence.check_scores`.
    """
    confidence, _ = decide(scores, labels)
    scenes = scores.shape[1]
    predicted = np.where(confidence >= threshold, scores.argmax(axis=1), scenes)
    confusion = confusion_matrix(labels, predicted, scene_count=scenes + 1)
    rejected = unknown_scores.max(axis=1) < threshold
    known_macro = macro_accuracy(confusion)
    return OpenSet(
        threshold=threshold,
        known=proportion(int((predicted == labels).sum()), len(labels)),
        known_macro=known_macro,
        unknown=proportion(int(rejected.sum()), len(rejected)),
        mean=float((known_macro + rejected.mean()) / 2),
    )


def fit_threshold(
    scores: Float[np.ndarray, "recording scene"],
    labels: Int[np.ndarray, " recording"],
    unknown_scores: Float[np.ndarray, "unknown scene"],
) -> float:
    """Returns the threshold of the largest `OpenSet.mean`, the least if several have it.

    Args:
      scores: of the validation part, whose recordings weren't trained on.
      labels: its scenes.
      unknown_scores: of recordings of none of the scenes, which weren't either.

    Raises:
      ValueError: see `confidence.check_scores`.
    """
    confidence, right = decide(scores, labels)
    per_scene = np.bincount(labels, minlength=scores.shape[1])
    weights = right / (per_scene[labels] * (per_scene > 0).sum())
    order = np.argsort(confidence)
    # Halfway between neighbours: just above a recording's score is a poor guess for others.
    ends = np.unique([*confidence, *unknown_scores.max(axis=1)])
    thresholds = np.concatenate([[0.0], (ends[:-1] + ends[1:]) / 2, [1.0]])
    lost = np.concatenate([[0.0], weights[order].cumsum()])
    known = lost[-1] - lost[np.searchsorted(confidence[order], thresholds)]
    unknown = np.searchsorted(np.sort(unknown_scores.max(axis=1)), thresholds)
    return float(thresholds[np.argmax(known + unknown / len(unknown_scores))])
