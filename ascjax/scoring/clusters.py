"""Intervals and tests for recordings in clusters: those of one location are not independent.

Ten recordings of one park say less about parks than one each of ten. Whatever counts them as ten
independent ones, as Wilson's interval and McNemar's test do, is too sure.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool

from ascjax.scoring.rates import Proportion
from ascjax.scoring.significance import sign_flip_p

# With fewer clusters the bootstrap's interval is too narrow.
FEW = 20


@dataclass(frozen=True)
class ByLocation:
    """95 % interval of an accuracy from a bootstrap over locations, and how many there are."""

    locations: int
    interval_95: tuple[float, float]


def by_location(
    correct: Bool[np.ndarray, "*seed recording"], locations: Sequence[str]
) -> ByLocation | None:
    """Returns the interval over locations; None unless all are known and there are two or more.

    Args:
      correct: whether each recording's decision is correct, also of several seeds.
      locations: [recording], ``""`` where unknown.
    """
    if not known(locations):
        return None
    bounds = cluster_bootstrap_interval(correct, locations)
    return bounds and ByLocation(len(set(locations)), bounds)


def located(
    groups: Mapping[str, Proportion],
    names: Sequence[str],
    correct: Bool[np.ndarray, " recording"],
    locations: Sequence[str],
) -> dict[str, Proportion]:
    """Returns groups' accuracies with their intervals over locations.

    Args:
      groups: by name.
      names: [recording], the group of each one.
      correct: whether each recording's decision is correct.
      locations: [recording]; where one is ``""`` its group has no such interval.
    """
    found = {}
    for name, part in groups.items():
        of_group = np.array(names) == name
        over = by_location(correct[of_group], np.array(locations)[of_group].tolist())
        found[name] = replace(part, by_location=over.interval_95 if over else None)
    return found


def known(locations: Sequence[str]) -> bool:
    """Returns whether there are names of locations, none of them empty."""
    return bool(len(locations)) and all(locations)


def cluster_bootstrap_interval(
    correct: Bool[np.ndarray, "*seed recording"],
    clusters: Collection[str],
    *,
    level: float = 0.95,
    repeats: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Interval of an accuracy from resampling whole clusters instead of recordings.

    Percentiles of the accuracies of resamples (A. C. Davison, D. V. Hinkley, "Bootstrap Methods and
    their Application", 1997, section 3.8; C. A. Field, A. H. Welsh, "Bootstrapping clustered data",
    J. R. Stat. Soc. B 69, 2007). With fewer than about 20 clusters (`FEW`) it is too narrow; so it
    is if every cluster is right throughout, where it has no width.

    Args:
      correct: whether each recording's decision is correct; with several seeds, of the mean of
        their accuracies.
      clusters: [recording], the name of each one's location.
      level: probability of holding the accuracy, within 0..1.
      repeats: resamples.
      seed: of the resamples; the same seed gives the same interval.

    Returns:
      Lower and upper bound in 0..1; None with fewer than 2 clusters, which say nothing about
      others.

    Raises:
      ValueError: as many names of clusters as recordings are needed.
    """
    index = _cluster_index(clusters, correct.shape[-1])
    rates = correct.mean(axis=tuple(range(correct.ndim - 1)))
    sizes, hits = np.bincount(index), np.bincount(index, rates)
    if len(sizes) < 2:
        return None
    rng = np.random.default_rng(seed)
    # How often each cluster is drawn, [repeat, cluster].
    draws = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=repeats)
    low, high = np.quantile((draws @ hits) / (draws @ sizes), ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


@dataclass(frozen=True)
class ClusteredMcNemar:
    """Outcome of `mcnemar_clustered`.

    Attributes:
      clusters: K.
      favour_a, favour_b: clusters in which a, or b, is correct more often.
      statistic: Obuchowski's, 0 if Σ D is.
      p: exact and two-sided.
    """

    clusters: int
    favour_a: int
    favour_b: int
    statistic: float
    p: float


def mcnemar_clustered(
    right_a: Bool[np.ndarray, "*seed recording"],
    right_b: Bool[np.ndarray, "*seed recording"],
    clusters: Collection[str],
) -> ClusteredMcNemar:
    """McNemar's test for two systems on the same recordings in clusters, exact and two-sided.

    The statistic is N. A. Obuchowski's ("On the comparison of correlated proportions for clustered
    data", Statistics in Medicine 17, 1998): with D the number of recordings of a cluster that a
    alone gets right less those that b alone does, (K − 1)/K · (Σ D)² / Σ D² over K clusters. It
    compares the accuracies over all recordings, as they are reported; Durkalski et al. (Statistics
    in Medicine 22, 2003) weigh each cluster alike instead.

    Its p-value is not that of its limit for many clusters, χ² with 1 degree of freedom, but exact
    for any number of them: were both systems alike, each cluster's D would have either sign with
    equal probability. With each recording a cluster of its own that is `significance.mcnemar`.

    Args:
      right_a: whether system a is correct; with several seeds a recording counts for each of them.
      right_b: likewise, in the same order of recordings.
      clusters: [recording], the name of each one's location.

    Raises:
      ValueError: as many names of clusters as recordings are needed.
    """
    more = right_a.astype(int) - right_b.astype(int)
    more = more.reshape(-1, more.shape[-1]).sum(axis=0)
    index = _cluster_index(clusters, len(more))
    differences = np.zeros(index.max(initial=-1) + 1, int)
    np.add.at(differences, index, more)
    count, total = len(differences), int(differences.sum())
    statistic = (count - 1) / count * total**2 / int((differences**2).sum()) if total else 0.0
    return ClusteredMcNemar(
        clusters=count,
        favour_a=int((differences > 0).sum()),
        favour_b=int((differences < 0).sum()),
        statistic=statistic,
        p=sign_flip_p(differences),
    )


def _cluster_index(clusters: Collection[str], recordings: int) -> np.ndarray:
    """Index of each recording's cluster, [recording], from 0 without a gap."""
    if len(clusters) != recordings:
        raise ValueError(f"expected {recordings} clusters, one a recording, got {len(clusters)}")
    return np.unique(np.array([str(name) for name in clusters]), return_inverse=True)[1]
