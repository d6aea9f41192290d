from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.data import splits

SETS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 8)),
    min_size=1,
    max_size=60,
)


def scenes_of(rows, chosen):
    return {row[0] for row, is_chosen in zip(rows, chosen, strict=True) if is_chosen}


@settings(max_examples=40, deadline=None)
@given(rows=SETS, fraction=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_locations_stay_together_and_scenes_are_on_both_sides(rows, fraction, seed):
    scenes, cities, _ = zip(*rows, strict=True)
    # As in TUT, a location belongs to one scene and one city.
    held = splits.hold_out(scenes, cities, rows, fraction=fraction, seed=seed)
    side_of = dict(zip(rows, held, strict=True))
    assert [side_of[row] for row in rows] == held
    locations = defaultdict(set)
    for scene, city, place in rows:
        locations[scene].add((city, place))
    for scene, its_locations in locations.items():
        if len(its_locations) > 1:
            assert scene in scenes_of(rows, held)
            assert scene in scenes_of(rows, [not h for h in held])
    assert held == splits.hold_out(scenes, cities, rows, fraction=fraction, seed=seed)


@settings(max_examples=40, deadline=None)
@given(rows=SETS, seed=st.integers(0, 9))
def test_locations_of_several_scenes_stay_together(rows, seed):
    scenes, cities, places = zip(*rows, strict=True)
    held = splits.hold_out(scenes, cities, places, fraction=0.3, seed=seed)
    for place in set(places):
        assert len({h for h, p in zip(held, places, strict=True) if p == place}) == 1


@settings(max_examples=40, deadline=None)
@given(rows=SETS)
def test_assigned_folds_keep_locations_together(rows):
    folds = splits.assign([row[0] for row in rows], rows, num_folds=5)
    fold_of = dict(zip(rows, folds, strict=True))
    assert [fold_of[row] for row in rows] == folds
    assert set(folds) <= set(range(5))


@settings(max_examples=20, deadline=None)
@given(counts=st.tuples(st.integers(5, 40), st.integers(5, 40)))
def test_folds_of_unknown_locations_are_equal_within_one(counts):
    scenes = ["bus"] * counts[0] + ["park"] * counts[1]
    folds = splits.assign(scenes, splits.groups([""] * len(scenes)), num_folds=5)
    for scene in ("bus", "park"):
        counts = Counter(f for f, s in zip(folds, scenes, strict=True) if s == scene)
        assert len(counts) == 5
        assert max(counts.values()) - min(counts.values()) <= 1


def test_unknown_locations_are_all_different():
    assert splits.groups(["", "oslo-1", "", "oslo-1"]) == [0, "oslo-1", 2, "oslo-1"]


def test_hand_made_split_is_balanced():
    # 10 locations of one recording for each scene and city: 3 of each are held out.
    rows = [(s, c, i) for s in "ab" for c in "xy" for i in range(10)]
    scenes, cities, _ = zip(*rows, strict=True)
    held = splits.hold_out(scenes, cities, rows, fraction=0.3, seed=0)
    counts = Counter(row[:2] for row, h in zip(rows, held, strict=True) if h)
    assert counts == {("a", "x"): 3, ("a", "y"): 3, ("b", "x"): 3, ("b", "y"): 3}


@pytest.mark.parametrize("num_folds", [2, 5])
def test_dealing_twice_gives_the_same(num_folds):
    scenes = ["bus", "park", "tram"] * 9
    together = list(range(27))
    first = splits.assign(scenes, together, num_folds=num_folds)
    assert first == splits.assign(scenes, together, num_folds=num_folds)
