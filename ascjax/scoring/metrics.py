"""Metrics of scored recordings, and their summaries over folds and seeds."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from ascjax.scoring.clusters import ByLocation
from ascjax.scoring.rates import Proportion, proportion, wilson_interval

# Scores below this count as this much in the log loss, so that one score of 0 costs 34.5, not ∞.
LOG_LOSS_FLOOR = 1e-15


def log_loss(
    scores: Float[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> float:
    """Mean of −ln(score of the true scene) in nats; scores count as ``LOG_LOSS_FLOOR`` at least."""
    true_scores = np.take_along_axis(scores, labels[:, None], axis=1)
    return float(-np.log(np.maximum(true_scores, LOG_LOSS_FLOOR)).mean())


def scene_log_losses(
    scores: Float[np.ndarray, "recording scene"], labels: Int[np.ndarray, " recording"]
) -> dict[int, float]:
    """The `log_loss` of each scene's recordings, in nats, of the scenes that have any.

    DCASE ranks the systems of task 1A of 2021 and of task 1 of 2022 by their mean.
    """
    parts = {int(scene): labels == scene for scene in np.unique(labels)}
    return {scene: log_loss(scores[part], labels[part]) for scene, part in parts.items()}


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


@dataclass(frozen=True)
class Spread:
    """Mean and sample deviation (n − 1) of accuracies; one accuracy has no deviation."""

    mean: float
    deviation: float | None


def spread(accuracies: Sequence[float]) -> Spread:
    """Returns mean and sample deviation of accuracies."""
    deviation = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    return Spread(float(np.mean(accuracies)), deviation)


@dataclass(frozen=True)
class FoldSummary:
    """Results pooled over folds, each recording tested once in all.

    Attributes:
      by_fold: accuracy of each fold, by its number.
      accuracy: of all folds' recordings together.
      macro_accuracy: mean over scenes (`macro_accuracy`), of all folds' recordings.
      log_loss: mean over all recordings, nats.
      macro_log_loss: mean over scenes; None if a fold's results don't tell.
      mean, deviation: of the folds' accuracies.
      by_location: interval of ``accuracy`` where locations are known.
      by_device: accuracy on each device; empty where they are unknown.
      by_seen: that on devices that each fold's network was trained on, ``seen``, and on others.
    """

    by_fold: dict[str, Proportion]
    accuracy: Proportion
    log_loss: float
    mean: float
    deviation: float | None
    macro_accuracy: float | None = None
    macro_log_loss: float | None = None
    by_location: ByLocation | None = None
    by_device: dict[str, Proportion] = field(default_factory=dict)
    by_seen: dict[str, Proportion] = field(default_factory=dict)

    @property
    def seen_apart(self) -> dict[str, Proportion]:
        """``by_seen`` if both kinds were tested, else empty: one alone is all that was."""
        return apart(self.by_seen)

    @property
    def interval_95(self) -> tuple[float, float] | None:
        """Of ``accuracy``: over locations where they are known, otherwise Wilson's."""
        return self.by_location.interval_95 if self.by_location else self.accuracy.interval_95


def pool_folds(
    accuracy: Mapping[int, Proportion],
    losses: Mapping[int, float],
    by_location: ByLocation | None = None,
    by_device: Sequence[Mapping[str, Proportion]] = (),
    by_seen: Sequence[Mapping[str, Proportion]] = (),
    by_scene: Sequence[Mapping[str, Proportion]] = (),
    loss_by_scene: Sequence[Mapping[str, float]] = (),
) -> FoldSummary:
    """Pools results over folds.

    Args:
      accuracy: of each fold's test part, by fold number.
      losses: log loss of each.
      by_location: of all folds' recordings together.
      by_device, by_seen, by_scene, loss_by_scene: of each fold, as in its results.
    """
    parts = list(accuracy.values())
    scenes = [part for part in _pool_groups(by_scene).values() if part.total]
    total = sum(part.total for part in parts)
    over = spread([part.correct / part.total for part in parts])
    return FoldSummary(
        by_fold={str(fold): part for fold, part in accuracy.items()},
        accuracy=proportion(sum(part.correct for part in parts), total),
        log_loss=sum(losses[fold] * part.total for fold, part in accuracy.items()) / total,
        mean=over.mean,
        deviation=over.deviation,
        macro_accuracy=_mean([part.correct / part.total for part in scenes]),
        macro_log_loss=_pool_losses(by_scene, loss_by_scene),
        by_location=by_location,
        by_device=_pool_groups(by_device),
        by_seen=_pool_groups(by_seen),
    )


def _mean(values: Sequence[float]) -> float | None:
    """Returns the mean; None of nothing."""
    return float(np.mean(values)) if values else None


def _pool_losses(
    by_scene: Sequence[Mapping[str, Proportion]], loss_by_scene: Sequence[Mapping[str, float]]
) -> float | None:
    """Returns the mean over scenes of their log loss in all parts; None if one doesn't tell."""
    if not all(loss_by_scene):
        return None
    recordings: dict[str, int] = defaultdict(int)
    losses: dict[str, float] = defaultdict(float)
    for parts, each in zip(by_scene, loss_by_scene, strict=False):
        for scene, loss in each.items():
            recordings[scene] += parts[scene].total
            losses[scene] += loss * parts[scene].total
    return _mean([losses[scene] / count for scene, count in recordings.items()])


def apart(groups: dict[str, Proportion]) -> dict[str, Proportion]:
    """Returns groups if there are several, else none."""
    return groups if len(groups) > 1 else {}


def _pool_groups(parts: Sequence[Mapping[str, Proportion]]) -> dict[str, Proportion]:
    """Returns each group's accuracy over several test parts."""
    correct: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for part in parts:
        correct.update({name: each.correct for name, each in part.items()})
        total.update({name: each.total for name, each in part.items()})
    return {name: proportion(correct[name], total[name]) for name in sorted(total)}


@dataclass(frozen=True)
class SeedSummary:
    """Accuracy over seeds tested on the same recordings.

    ``interval_95`` is Wilson's at the mean accuracy: how far other test recordings would move it,
    not how far other seeds would. ``by_location`` is that over locations, where they are known.
    """

    mean: float
    deviation: float | None
    interval_95: tuple[float, float]
    by_location: tuple[float, float] | None = None


def pool_seeds(correct: Sequence[int], total: int) -> SeedSummary:
    """Pools seeds, each with its count of ``correct`` of the same ``total`` recordings."""
    over = spread([count / total for count in correct])
    return SeedSummary(over.mean, over.deviation, wilson_interval(float(np.mean(correct)), total))
