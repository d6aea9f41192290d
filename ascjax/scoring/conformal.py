"""Split-conformal prediction: sets of scenes that hold the true one with a stated probability.

V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005; A. N.
Angelopoulos, S. Bates, "A gentle introduction to conformal prediction and distribution-free
uncertainty quantification", 2021. The guarantee is on average over recordings exchangeable with
those that the threshold was fitted on: new recordings of other locations or devices are not.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ascjax.scoring.confidence import check_scores
from ascjax.scoring.rates import Proportion, proportion


def conformal_quantile(values: Float[np.ndarray, " recording"], level: float) -> float:
    """Value that one more exchangeable value does not exceed with probability ≥ ``level``.

    That is the ⌈(n + 1) level⌉-th smallest of the n values, and infinity if n is less than that.

    Raises:
      ValueError: ``level`` is outside of 0..1, both excluded.
    """
    if not 0 < level < 1:
        raise ValueError(f"expected a level within 0..1, both excluded, got {level}")
    # Rounding must not lift a product that is whole: (99 + 1) · 0.07 is 7.000000000000001.
    rank = math.ceil((len(values) + 1) * level - 1e-9)
    return float(np.sort(values)[rank - 1]) if rank <= len(values) else math.inf


def conformal_threshold(
    scores: Float[np.ndarray, "recording scene"],
    labels: Int[np.ndarray, " recording"],
    *,
    coverage: float = 0.9,
) -> float:
    """Threshold on 1 − score with which `prediction_sets` hold the true scene.

    M. Sadinle, J. Lei, L. Wasserman, "Least ambiguous set-valued classifiers with bounded error
    levels", J. Am. Stat. Assoc. 114 (2019).

    Args:
      scores: of the validation part.
      labels: its true scenes.
      coverage: the least probability of holding the true scene, within 0..1, both excluded.

    Returns:
      A value in 0..1; with fewer than coverage / (1 − coverage) recordings it is 1, with which
      every set holds all scenes.

    Raises:
      ValueError: see `check_scores`; a coverage that is no probability.
    """
    check_scores(scores, labels)
    nonconformity = 1 - np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    return min(1.0, conformal_quantile(nonconformity, coverage))


def prediction_sets(
    scores: Float[np.ndarray, "recording scene"], threshold: float
) -> Bool[np.ndarray, "recording scene"]:
    """Whether each scene belongs to a recording's set: those of 1 − score ≤ ``threshold``.

    A set can be empty, where no scene's score is as large as those of true scenes usually are.
    """
    return 1 - scores <= threshold


@dataclass(frozen=True)
class SetStatistics:
    """Recordings whose set holds the true scene, the mean size, and counts of sizes 0, 1, …."""

    covered: Proportion
    mean_size: float
    by_size: tuple[int, ...]


def set_statistics(
    sets: Bool[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> SetStatistics:
    """How often sets hold the true scene, and how large they are."""
    sizes = sets.sum(axis=1)
    covered = int(sets[np.arange(len(labels)), labels].sum())
    return SetStatistics(
        covered=proportion(covered, len(labels)),
        mean_size=float(sizes.mean()),
        by_size=tuple(np.bincount(sizes, minlength=sets.shape[1] + 1).tolist()),
    )
