"""Results of posteriors on labelled recordings: everything that tables and reports show."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from ascjax.scoring import clusters, fusion, metrics
from ascjax.scoring.clusters import ByLocation
from ascjax.scoring.fusion import Fusion, check_posteriors
from ascjax.scoring.open_set import OpenSet
from ascjax.scoring.rates import Proportion, Rate, proportion, rate


@dataclass(frozen=True)
class Decisions:
    """Decisions on recordings: name, true scene, predicted scene and its score, of each.

    ``location`` and ``device`` are ``""`` where unknown, and empty for a set without any.
    """

    recording: tuple[str, ...]
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    score: tuple[float, ...]
    location: tuple[str, ...] = ()
    device: tuple[str, ...] = ()

    def seen(self, trained: Collection[str]) -> list[str]:
        """Returns ``seen`` for recordings of ``trained`` devices, ``unseen`` for others' or ""."""
        return _kinds(self.device, trained)


@dataclass(frozen=True, kw_only=True, repr=False)
class Results:
    """Metrics of fused posteriors, each with the counts behind it.

    Attributes:
      recordings: how many were scored.
      fragments: N_s.
      scenes, channels: names.
      fusion: how posteriors became scores.
      chance: accuracy of guessing, 1 / scenes.
      accuracy: of the fused decision.
      by_location: its interval where locations are known: recordings of one are not independent, as
        that of ``accuracy`` takes them to be.
      macro_accuracy: mean over scenes (`metrics.macro_accuracy`).
      log_loss, macro_log_loss: of the fused scores, nats: mean over recordings, and over scenes;
        log_loss_floor: the least score that counts.
      confusion: counts [true scene][predicted scene].
      by_scene, by_city, by_device: accuracy in each; empty where cities or devices are unknown.
      loss_by_scene: log loss of each scene's recordings, of those that have any.
      by_seen: accuracy on recordings of ``seen`` devices, which the network was trained on, and of
        ``unseen`` ones, of those kinds that were tested; empty where devices are unknown.
      by_channel: accuracy of one channel alone, its fragments fused.
      single_fragment, fragments_fused: decisions from one fragment, and from one channel's fused
        fragments. They carry no interval, as decisions on one recording are not independent.
      decisions: on each recording, all that comparing systems needs.
      open_set: results with recordings of none of the scenes, of a run that was tested on such.
    """

    recordings: int
    fragments: int
    scenes: tuple[str, ...]
    channels: tuple[str, ...]
    fusion: Fusion
    chance: float
    accuracy: Proportion
    macro_accuracy: float
    log_loss: float
    macro_log_loss: float
    log_loss_floor: float
    confusion: tuple[tuple[int, ...], ...]
    by_scene: dict[str, Proportion]
    by_city: dict[str, Proportion]
    by_device: dict[str, Proportion]
    by_seen: dict[str, Proportion]
    by_channel: dict[str, Proportion]
    single_fragment: Rate
    fragments_fused: Rate
    decisions: Decisions
    by_location: ByLocation | None = None
    loss_by_scene: dict[str, float] = field(default_factory=dict)
    open_set: OpenSet | None = None

    def __repr__(self) -> str:
        accuracy = self.accuracy
        return f"{type(self).__name__}({accuracy.correct:,} of {accuracy.total:,} right)"

    @property
    def seen_apart(self) -> dict[str, Proportion]:
        """``by_seen`` if both kinds were tested, else empty: one alone is all that was."""
        return metrics.apart(self.by_seen)

    @property
    def right(self) -> Bool[np.ndarray, " recording"]:
        """Whether each recording's scene was predicted."""
        return np.array(self.decisions.true) == np.array(self.decisions.predicted)


def score(
    posteriors: np.ndarray,
    labels: np.ndarray,
    *,
    scenes: Sequence[str],
    channels: Sequence[str],
    names: Sequence[str] | None = None,
    cities: Sequence[str] = (),
    devices: Sequence[str] = (),
    locations: Sequence[str] = (),
    trained_devices: Sequence[str] = (),
    by: Fusion = Fusion(),  # noqa: B008 - immutable
) -> Results:
    """Scores posteriors against labels.

    Args:
      posteriors: [recording, channel, fragment, scene], each summing to 1 over scenes.
      labels: [recording], integers, the true scene's index into ``scenes``.
      scenes: names of the last axis of ``posteriors``.
      channels: names of its second axis.
      names: [recording]; by default their numbers.
      cities: [recording], ``""`` where unknown; empty for a set without cities.
      devices, locations: [recording], likewise.
      trained_devices: those of the training part; empty if unknown.
      by: how fragments and channels are fused.

    Raises:
      UserError: an unknown fusion method.
      ValueError: shapes or lengths that don't match, labels that are no index, or posteriors that
        are not finite, not ≥ 0 or don't sum to 1.

    Example:
      >>> import numpy as np
      >>> posteriors = np.array([[[[0.9, 0.1]]], [[[0.6, 0.4]]]])
      >>> results = score(posteriors, np.array([0, 1]), scenes=["bus", "park"], channels=["left"])
      >>> results.accuracy.correct, results.accuracy.total
      (1, 2)
    """
    names = [str(index) for index in range(len(labels))] if names is None else names
    check(posteriors, labels, names=names, scenes=scenes, channels=channels)
    groups = {"cities": cities, "devices": devices, "locations": locations}
    for kind, values in groups.items():
        if len(values) not in (0, len(labels)):
            raise ValueError(f"{kind}: expected {len(labels)} or none, got {len(values)}")
    by_channel = fusion.fuse_fragments(posteriors, by.fragments)
    scores = fusion.fuse_channels(by_channel, by.channels)
    predictions = scores.argmax(axis=1)
    correct = predictions == labels
    losses = metrics.scene_log_losses(scores, labels)
    channel_correct = by_channel.argmax(axis=-1) == labels[:, None]
    fragment_correct = posteriors.argmax(axis=-1) == labels[:, None, None]
    confusion = metrics.confusion_matrix(labels, predictions, scene_count=len(scenes))
    return Results(
        recordings=len(labels),
        fragments=posteriors.shape[2],
        scenes=tuple(scenes),
        channels=tuple(channels),
        fusion=by,
        chance=1 / len(scenes),
        accuracy=proportion(int(correct.sum()), correct.size),
        macro_accuracy=metrics.macro_accuracy(confusion),
        log_loss=metrics.log_loss(scores, labels),
        macro_log_loss=float(np.mean(list(losses.values()))),
        loss_by_scene={scenes[scene]: loss for scene, loss in losses.items()},
        log_loss_floor=metrics.LOG_LOSS_FLOOR,
        confusion=tuple(map(tuple, confusion.tolist())),
        by_scene={
            scene: proportion(row[index], sum(row))
            for index, (scene, row) in enumerate(zip(scenes, confusion.tolist(), strict=True))
        },
        by_city=_by_group(correct, cities),
        by_device=_by_group(correct, devices, locations),
        by_seen=_by_group(correct, _kinds(devices, trained_devices), locations),
        by_channel={
            channel: proportion(count, len(labels))
            for channel, count in zip(channels, channel_correct.sum(axis=0).tolist(), strict=True)
        },
        single_fragment=rate(int(fragment_correct.sum()), fragment_correct.size),
        fragments_fused=rate(int(channel_correct.sum()), channel_correct.size),
        decisions=Decisions(
            recording=tuple(str(name) for name in names),
            true=tuple(scenes[index] for index in labels),
            predicted=tuple(scenes[index] for index in predictions),
            score=tuple(float(value) for value in scores.max(axis=1)),
            location=tuple(map(str, locations)) if any(locations) else (),
            device=tuple(map(str, devices)) if any(devices) else (),
        ),
        by_location=clusters.by_location(correct, locations),
    )


def _by_group(
    correct: np.ndarray, groups: Sequence[str], locations: Sequence[str] = ()
) -> dict[str, Proportion]:
    names = [str(group) for group in groups]
    totals = Counter(names)
    hits = Counter(name for name, hit in zip(names, correct, strict=False) if hit)
    parts = {name: proportion(hits[name], totals[name]) for name in sorted(totals) if name}
    return clusters.located(parts, names, correct, locations) if len(locations) else parts


def _kinds(devices: Sequence[str], trained: Collection[str]) -> list[str]:
    """Returns the kind of each device, ``""`` where that is unknown."""
    if not trained:
        return []
    return [device and ("seen" if device in trained else "unseen") for device in devices]


def check(
    posteriors: np.ndarray,
    labels: np.ndarray,
    *,
    names: Collection[str],
    scenes: Collection[str],
    channels: Collection[str],
) -> None:
    """Raises ValueError unless these are posteriors with labels and names that fit them."""
    check_posteriors(posteriors)
    recordings, channel_count, _, scene_count = posteriors.shape
    lengths = {
        "labels": (labels.shape, (recordings,)),
        "names": ((len(names),), (recordings,)),
        "scenes": ((len(scenes),), (scene_count,)),
        "channels": ((len(channels),), (channel_count,)),
    }
    for name, (actual, expected) in lengths.items():
        if actual != expected:
            raise ValueError(
                f"{name}: posteriors of shape {posteriors.shape} need shape {expected}, "
                f"got {actual}"
            )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.min() < 0 or labels.max() >= scene_count:
        raise ValueError(
            f"labels must be within 0..{scene_count - 1}, got {labels.min()}..{labels.max()}"
        )
