"""Posteriors and labels → numbers, each with the counts it comes from.

Everything is a pure function of arrays; what `summarise` returns is plain JSON, holds counts beside
every rate, and is all that tables and reports print.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ascjax.scoring.fusion import check_posteriors, fuse

FORMAT = 2
# Two-sided 95 % quantile of the normal distribution.
Z_95 = 1.959963984540054
# Scores below this count as this much in the log loss, so that one score of 0 costs 34.5, not ∞.
LOG_LOSS_FLOOR = 1e-15


def wilson_interval(correct: float, total: int) -> tuple[float, float]:
    """95 % interval of a rate: Wilson's score interval, without continuity correction.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am.
    Stat. Assoc. 22 (1927). Unlike p ± 1.96 √(p(1 − p)/n) it stays within 0..1 and keeps its
    coverage with few recordings and near 0 and 1 (Brown, Cai, DasGupta, Statistical Science 16,
    2001).

    Args:
      correct: successes, 0..``total``; a mean over seeds needs not be whole.
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


def proportion(correct: int, total: int) -> dict[str, Any]:
    """An accuracy as JSON: ``correct``, ``total``, ``accuracy`` and ``interval_95`` [low, high].

    With nothing to count (``total`` 0) the accuracy and the interval are None.
    """
    known = total > 0
    return {
        "correct": correct,
        "total": total,
        "accuracy": correct / total if known else None,
        "interval_95": list(wilson_interval(correct, total)) if known else None,
    }


def over_folds(results: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What the folds of a set come to, each recording tested once in all.

    Args:
      results: of each fold, by its number, as `summarise` returns them.

    Returns:
      ``by_fold``: number → `proportion`; ``accuracy``: the `proportion` of all folds pooled;
      ``log_loss`` of all their recordings; ``mean`` and ``deviation`` of the folds' accuracies, as
      `_spread`.
    """
    parts = {str(fold): each["accuracy"] for fold, each in results.items()}
    correct, total = (sum(part[key] for part in parts.values()) for key in ("correct", "total"))
    losses = sum(each["log_loss"] * each["accuracy"]["total"] for each in results.values())
    return {
        "by_fold": parts,
        "accuracy": proportion(correct, total),
        "log_loss": losses / total,
        **_spread([part["accuracy"] for part in parts.values()]),
    }


def over_seeds(correct: Sequence[int], total: int) -> dict[str, Any]:
    """What seeds come to that were tested on the same ``total`` recordings.

    Args:
      correct: decisions of each seed.
      total: recordings.

    Returns:
      ``mean`` and ``deviation`` of their accuracies, as `_spread`; ``interval_95`` of the mean
      accuracy at ``total`` recordings, Wilson's: it says how far other test recordings would move
      it, not how far other seeds would.
    """
    interval = wilson_interval(float(np.mean(correct)), total)
    return {**_spread([each / total for each in correct]), "interval_95": list(interval)}


def _spread(rates: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample deviation (n − 1); the deviation of a single rate is None."""
    deviation = float(np.std(rates, ddof=1)) if len(rates) > 1 else None
    return {"mean": float(np.mean(rates)), "deviation": deviation}


def mcnemar(
    right_a: Bool[np.ndarray, "*seed recording"], right_b: Bool[np.ndarray, "*seed recording"]
) -> dict[str, Any]:
    """Is one system right on more of the same recordings than another, beyond chance?

    McNemar's test, exact and two-sided (Q. McNemar, Psychometrika 12, 1947): were both alike, each
    recording that one alone gets right would be either's by the toss of a coin. With several seeds
    a recording counts by how many more seeds get it right, and the signs of these differences are
    tossed, exactly; for one seed that is the same test.

    Returns:
      ``only_a``, ``only_b``: recordings that a, or b, gets right alone (in more seeds); ``p``.
    """
    more = right_a.astype(int) - right_b.astype(int)
    more = more.reshape(-1, more.shape[-1]).sum(axis=0)
    sizes = np.abs(more)
    # Distribution of the sum of the differences with a positive sign, size by size.
    chances = np.ones(1)
    for size in range(1, int(sizes.max(initial=0)) + 1):
        tosses = _fair_tosses(int((sizes == size).sum()))
        spread = np.zeros(size * (len(tosses) - 1) + 1)
        spread[::size] = tosses
        chances = np.convolve(chances, spread)
    totals = 2 * np.arange(len(chances)) - sizes.sum()
    as_far = np.abs(totals) >= abs(int(more.sum()))
    return {
        "only_a": int((more > 0).sum()),
        "only_b": int((more < 0).sum()),
        "p": min(1.0, float(chances[as_far].sum())),
    }


def _fair_tosses(count: int) -> np.ndarray:
    """Chances of 0..``count`` heads in as many tosses of a fair coin."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    return np.exp(logs[-1] - logs - logs[::-1] - count * math.log(2))


def log_loss(
    scores: Float[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> float:
    """Mean of −ln(score of the true scene) in nats; scores count as ``LOG_LOSS_FLOOR`` at least."""
    true_scores = np.take_along_axis(scores, labels[:, None], axis=1)
    return float(-np.log(np.maximum(true_scores, LOG_LOSS_FLOOR)).mean())


def confusion_matrix(
    labels: Int[np.ndarray, " recording"],
    predictions: Int[np.ndarray, " recording"],
    *,
    scene_count: int,
) -> Int[np.ndarray, "scene scene"]:
    """Counts of recordings [true scene, predicted scene]; entries sum to the recordings."""
    counts = np.zeros((scene_count, scene_count), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def macro_accuracy(confusion: Int[np.ndarray, "scene scene"]) -> float:
    """Mean of the class-wise accuracies in 0..1, over scenes that have recordings.

    DCASE 2018 task 1 ranks systems by this; it equals the accuracy where every scene has equally
    many recordings.
    """
    totals = confusion.sum(axis=1)
    present = totals > 0
    return float((np.diagonal(confusion)[present] / totals[present]).mean())


def summarise(
    posteriors: np.ndarray,
    labels: np.ndarray,
    *,
    names: Collection[str],
    scenes: Collection[str],
    channels: Collection[str],
    cities: Collection[str] | None = None,
    fragment_fusion: str = "mean",
    channel_fusion: str = "mean",
) -> dict[str, Any]:
    """Everything the result table and the report print, as plain JSON.

    The shapes of these arrays come from files, so they are checked here at all times.

    Args:
      posteriors: [recording, channel, fragment, scene], each summing to 1 over scenes.
      labels: [recording], integers, the true scene's index into ``scenes``.
      names: [recording], of each.
      scenes: names of the last axis of ``posteriors``.
      channels: names of its second axis.
      cities: [recording], where each was made; ``""`` where unknown. None for a set without cities.
      fragment_fusion: a key of ``fusion.METHODS``.
      channel_fusion: a key of ``fusion.METHODS``.

    Returns:
      ``format`` (2), ``recordings``, ``fragments`` (counts), ``scenes``, ``channels`` (names),
      ``fusion`` {``fragments``, ``channels``}, ``chance`` (1 / scenes);
      ``accuracy``: the fused decision, a `proportion`; ``macro_accuracy``; ``log_loss`` (nats) and
      ``log_loss_floor``; ``confusion`` [true][predicted] counts;
      ``by_scene``, ``by_city``, ``by_channel``: name → `proportion` (a channel alone, its fragments
      fused; cities sorted by name, empty without them);
      ``single_fragment`` and ``fragments_fused``: ``correct``, ``total`` and ``accuracy`` of all
      decisions from one fragment, and from one channel's fused fragments. They carry no interval,
      since decisions on the same recording are not independent;
      ``decisions``: ``recording``, ``true``, ``predicted``: a name, and two of scenes, for each
      recording. What compares systems, like `mcnemar`, needs no more.

    Raises:
      UserError: an unknown fusion method.
      ValueError: shapes or lengths that don't match, labels that are no index, or posteriors that
        are not finite, not ≥ 0 or don't sum to 1.
    """
    check(posteriors, labels, names=names, scenes=scenes, channels=channels, cities=cities)
    scores = fuse(posteriors, fragments=fragment_fusion, channels=channel_fusion)
    channel_scores = [
        fuse(posteriors[:, [index]], fragments=fragment_fusion) for index in range(len(channels))
    ]
    predictions = scores.argmax(axis=1)
    correct = predictions == labels
    channel_correct = np.stack([each.argmax(axis=1) == labels for each in channel_scores], axis=1)
    scenes, channels = [str(scene) for scene in scenes], [str(channel) for channel in channels]
    confusion = confusion_matrix(labels, predictions, scene_count=len(scenes))
    return {
        "format": FORMAT,
        "recordings": len(labels),
        "fragments": posteriors.shape[2],
        "scenes": scenes,
        "channels": channels,
        "fusion": {"fragments": fragment_fusion, "channels": channel_fusion},
        "chance": 1 / len(scenes),
        "accuracy": proportion(int(correct.sum()), correct.size),
        "macro_accuracy": macro_accuracy(confusion),
        "log_loss": log_loss(scores, labels),
        "log_loss_floor": LOG_LOSS_FLOOR,
        "confusion": confusion.tolist(),
        "by_scene": {
            scene: proportion(row[index], sum(row))
            for index, (scene, row) in enumerate(zip(scenes, confusion.tolist(), strict=True))
        },
        "by_city": {} if cities is None else _by_group(correct, cities),
        "by_channel": {
            channel: proportion(count, len(labels))
            for channel, count in zip(channels, channel_correct.sum(axis=0).tolist(), strict=True)
        },
        "single_fragment": _rate(posteriors.argmax(axis=-1) == labels[:, None, None]),
        "fragments_fused": _rate(channel_correct),
        "decisions": {
            "recording": [str(name) for name in names],
            "true": [scenes[index] for index in labels],
            "predicted": [scenes[index] for index in predictions],
        },
    }


def recognised(results: Mapping[str, Any]) -> Bool[np.ndarray, " recording"]:
    """Whether each recording was given its true scene, from what `summarise` returned."""
    decisions = results["decisions"]
    return np.array(decisions["true"]) == np.array(decisions["predicted"])


def _by_group(correct: np.ndarray, groups: Collection[str]) -> dict[str, dict[str, Any]]:
    names = [str(group) for group in groups]
    totals = Counter(names)
    hits = Counter(name for name, hit in zip(names, correct, strict=True) if hit)
    return {name: proportion(hits[name], totals[name]) for name in sorted(totals) if name}


def _rate(correct: np.ndarray) -> dict[str, Any]:
    whole = proportion(int(correct.sum()), correct.size)
    return {key: whole[key] for key in ("correct", "total", "accuracy")}


def check(
    posteriors: np.ndarray,
    labels: np.ndarray,
    *,
    names: Collection[str],
    scenes: Collection[str],
    channels: Collection[str],
    cities: Collection[str] | None = None,
) -> None:
    """Raises ValueError unless these are posteriors with labels and names that fit them."""
    check_posteriors(posteriors)
    recordings, channel_count, _, scene_count = posteriors.shape
    lengths = {"labels": (labels.shape, (recordings,))}
    lengths["names"] = ((len(names),), (recordings,))
    lengths["scenes"] = ((len(scenes),), (scene_count,))
    lengths["channels"] = ((len(channels),), (channel_count,))
    if cities is not None:
        lengths["cities"] = ((len(cities),), (recordings,))
    for name, (got, expected) in lengths.items():
        if got != expected:
            raise ValueError(
                f"{name}: posteriors of shape {posteriors.shape} need shape {expected}, got {got}"
            )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.min() < 0 or labels.max() >= scene_count:
        raise ValueError(
            f"labels must be within 0..{scene_count - 1}, got {labels.min()}..{labels.max()}"
        )
