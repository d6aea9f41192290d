from pathlib import Path

from ascjax.data import leaks
from ascjax.data.duplicates import Copies
from ascjax.data.leaks import Finding
from ascjax.data.listing import Fold, Recording


def recording(name, scene="bus", location=""):
    return Recording(name, Path(name), scene, location)


FOUR = [recording(name) for name in "abcd"]
FOLDS = {1: Fold((0, 1), (2, 3)), 2: Fold((2, 3), (0, 1))}


def test_a_set_without_copies_has_no_findings():
    assert leaks.find(FOUR, FOLDS) == []


def test_copies_in_both_parts_are_leaks():
    found = leaks.find(FOUR, FOLDS, [Copies("bytes", (1, 2)), Copies("bytes", (0, 3))])
    sides = "training", "test"
    assert found == [Finding("leak", "files with the same bytes", 2, 4, ("b", "c"), sides, (1, 2))]
    assert str(found[0]) == (
        "leak: files with the same bytes in the training and the test part of folds 1 and 2 "
        "(2 groups, 4 recordings), e.g. b (training) and c (test)"
    )


def test_copies_in_no_part_of_a_fold_do_not_leak_into_it():
    folds = {1: Fold((0,), (2,)), 3: Fold((1, 0), (2,))}
    [finding] = leaks.find(FOUR, folds, [Copies("samples", (1, 2))])
    assert (finding.kind, finding.folds) == ("leak", (3,))


def test_copies_in_one_part():
    [finding] = leaks.find(FOUR, FOLDS, [Copies("file", (0, 1))])
    assert (finding.kind, finding.count, finding.folds) == ("copy", 1, ())
    assert "the same file under several names with one label" in str(finding)


def test_copies_under_two_labels_contradict_and_may_leak_too():
    mixed = [recording("a"), recording("b", "park"), recording("c"), recording("d")]
    [finding] = leaks.find(mixed, FOLDS, [Copies("bytes", (0, 1))])
    assert (finding.kind, finding.example) == ("contradiction", ("a", "b"))
    assert str(finding).endswith("e.g. a (bus) and b (park)")
    kinds = [finding.kind for finding in leaks.find(mixed, FOLDS, [Copies("bytes", (1, 2))])]
    assert kinds == ["leak", "contradiction"]


def test_locations_in_both_parts_are_leaks():
    places = ["x", "y", "y", "z"]
    located = [recording(name, location=place) for name, place in zip("abcd", places, strict=True)]
    folds = {1: Fold((0, 1), (2, 3)), 2: Fold((0, 3), (1, 2))}
    assert leaks.find(located, folds) == [
        Finding(
            "leak", "recordings of the same location", 1, 2, ("b", "c"), ("training", "test"), (1,)
        )
    ]


def test_unknown_locations_are_not_one_location():
    assert leaks.find(FOUR, {1: Fold((0, 1), (2, 3))}) == []


def test_the_example_shows_what_is_wrong():
    listed = [recording(str(i), "park" if i == 7 else "bus") for i in range(10)]
    everything = Copies("bytes", tuple(range(10)))
    folds = {1: Fold((8,), tuple(range(8)))}
    leak, contradiction = leaks.find(listed, folds, [everything])
    assert leak.example == ("8", "0")
    assert contradiction.example == ("0", "7")
    assert leak.num_recordings == 10
