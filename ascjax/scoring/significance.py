"""Significance of a difference between two systems on the same recordings."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int


@dataclass(frozen=True)
class McNemar:
    """Recordings that only one of two systems gets right (in more seeds), and the p-value."""

    only_a: int
    only_b: int
    p: float


def mcnemar(
    right_a: Bool[np.ndarray, "*seed recording"], right_b: Bool[np.ndarray, "*seed recording"]
) -> McNemar:
    """Exact two-sided McNemar test of two systems on the same recordings.

    Q. McNemar, Psychometrika 12 (1947): under the null hypothesis each recording that exactly one
    system gets right is equally likely to be either's. With several seeds a recording counts by the
    difference in the number of seeds that get it right, and the signs of these differences are
    flipped (`sign_flip_p`); for one seed that is the same test.
    """
    difference = right_a.astype(int) - right_b.astype(int)
    difference = difference.reshape(-1, difference.shape[-1]).sum(axis=0)
    return McNemar(
        only_a=int((difference > 0).sum()),
        only_b=int((difference < 0).sum()),
        p=sign_flip_p(difference),
    )


def sign_flip_p(differences: Int[np.ndarray, " item"]) -> float:
    """Two-sided probability of a sum as far from 0 if each sign were the toss of a fair coin.

    R. A. Fisher's randomisation test of matched pairs ("The Design of Experiments", 1935, section
    21), exact: from the distribution of the sum, built item by item.
    """
    sizes = np.abs(differences[differences != 0])
    reach = int(sizes.sum())
    # probabilities[reach + s] is that of a sum of s; the array is as long as sums can reach.
    probabilities = np.zeros(2 * reach + 1)
    probabilities[reach] = 1.0
    for size in sizes:
        probabilities = (np.roll(probabilities, size) + np.roll(probabilities, -size)) / 2
    sums = np.arange(-reach, reach + 1)
    return min(1.0, float(probabilities[np.abs(sums) >= abs(int(differences.sum()))].sum()))
