"""Balanced splits: parts that share no location and are alike in scene and city.

A greedy assignment in random orders, improved by moving groups. Example: scenes a, a, b, b at four
locations, two folds. Each location holds half of its scene; the first goes to fold 0, which then
lacks least of its scene, so the second goes to fold 1, and likewise for b.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int


def groups(locations: Sequence[str]) -> list[Hashable]:
    """Returns what must stay together: the location, or the recording alone where it is unknown."""
    return [location or index for index, location in enumerate(locations)]


def assign(scenes: Sequence[str], together: Sequence[Hashable], *, num_folds: int) -> list[int]:
    """Assigns recordings to folds, balanced by scene.

    Args:
      scenes: of each recording.
      together: recordings of equal value come into the same fold.
      num_folds: how many.

    Returns:
      For each recording its fold, from 0; the same for the same input.
    """
    group_of, amounts = _tabulate(together, [["all"] * len(scenes), scenes])
    fold_of_group = _balance(amounts, np.full(num_folds, 1 / num_folds), seed=0)
    return [int(fold) for fold in fold_of_group[group_of]]


def hold_out(
    scenes: Sequence[str],
    cities: Sequence[str],
    together: Sequence[Hashable],
    *,
    fraction: float,
    seed: int,
) -> list[bool]:
    """Chooses recordings to hold out, balanced by scene, by city, and by both together.

    Args:
      scenes: of each recording.
      cities: of each recording.
      together: recordings of equal value come to the same side.
      fraction: share to hold out, 0..1.
      seed: chooses among splits that are equally balanced.

    Returns:
      For each recording whether it is held out. Every scene is on both sides where ``together``
      allows it.
    """
    both = list(zip(scenes, cities, strict=True))
    group_of, amounts = _tabulate(together, [scenes, cities, both, ["all"] * len(scenes)])
    side = _balance(amounts, np.array([1 - fraction, fraction]), seed=seed)
    num_scenes = len(set(scenes))
    side = _spread(side, amounts[:, :num_scenes])
    return [bool(held) for held in side[group_of]]


def _tabulate(
    together: Sequence[Hashable], properties: Sequence[Sequence[Hashable]]
) -> tuple[Int[np.ndarray, " recording"], Float[np.ndarray, "group value"]]:
    """Returns the group of each recording, and the share of each value that a group has."""
    group_of = _number(together)
    tables = []
    for values in properties:
        numbers = _number(values)
        table = np.zeros((group_of.max() + 1, numbers.max() + 1))
        np.add.at(table, (group_of, numbers), 1)
        # Shares of each value's recordings. The more values a property has, the less each weighs:
        # the whole comes first, then cities and scenes, last the pairs of both.
        tables.append(table / table.sum(axis=0) / table.shape[1])
    return group_of, np.concatenate(tables, axis=1)


def _number(values: Sequence[Hashable]) -> Int[np.ndarray, " recording"]:
    """Numbers values in the order of their first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)


def _balance(
    amounts: Float[np.ndarray, "group value"], shares: Float[np.ndarray, " part"], *, seed: int
) -> Int[np.ndarray, " group"]:
    """Returns the part of each group, the best of several tries in random orders.

    The cost is the squared distance of what the parts have from their shares of what there is.
    """
    rng = np.random.default_rng(seed)
    num_tries = min(50, 1 + 10_000 // len(amounts))  # half a second for 10,000 recordings
    tries = [
        _assign_in_order(amounts, shares, rng.permutation(len(amounts))) for _ in range(num_tries)
    ]
    part, _ = min(tries, key=lambda result: result[1])
    return part


def _assign_in_order(
    amounts: Float[np.ndarray, "group value"],
    shares: Float[np.ndarray, " part"],
    order: Int[np.ndarray, " group"],
) -> tuple[Int[np.ndarray, " group"], float]:
    """Gives each group to the part that lacks it most, then moves groups as long as that helps."""
    lacking = np.outer(shares, amounts.sum(axis=0))
    part = np.full(len(amounts), -1)
    moved = True
    while moved:
        moved = False
        for group in order:
            if part[group] >= 0:
                lacking[part[group]] += amounts[group]
            # |lacking − amount|² is smallest beside |lacking|² where lacking · amount is largest.
            gains = lacking @ amounts[group]
            best = int(np.argmax(gains))
            if part[group] < 0 or gains[best] > gains[part[group]] + 1e-9:
                part[group], moved = best, True
            lacking[part[group]] -= amounts[group]
    return part, float(np.sum(lacking**2))


def _spread(
    side: Int[np.ndarray, " group"], scene_amounts: Float[np.ndarray, "group scene"]
) -> Int[np.ndarray, " group"]:
    """Moves the smallest possible groups so that every scene is on both sides, where it can be."""
    side = side.copy()
    for scene in range(scene_amounts.shape[1]):
        with_scene = np.flatnonzero(scene_amounts[:, scene])
        for wanted in (0, 1):
            if (side[with_scene] == wanted).any():
                continue
            for group in with_scene[np.argsort(scene_amounts[with_scene].sum(axis=1))]:
                trial = side.copy()
                trial[group] = wanted
                if _present(trial, scene_amounts).sum() > _present(side, scene_amounts).sum():
                    side = trial
                    break
    return side


def _present(side: np.ndarray, scene_amounts: np.ndarray) -> np.ndarray:
    """Returns whether each scene is on each of the two sides."""
    return np.stack([scene_amounts[side == wanted].sum(axis=0) > 0 for wanted in (0, 1)])
