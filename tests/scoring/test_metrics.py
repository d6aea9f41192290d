import itertools
import json

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import binomtest

from ascjax.errors import UserError
from ascjax.scoring import metrics
from ascjax.scoring.metrics import summarise, wilson_interval


def fake_set(recordings=40, channels=3, fragments=6, scenes=4, seed=0):
    """Posteriors that lean towards the labels, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(scenes, size=recordings)
    logits = rng.normal(size=(recordings, channels, fragments, scenes))
    logits += np.eye(scenes)[labels][:, None, None]
    posteriors = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return posteriors.astype(np.float32), labels.astype(np.int32)


def names(count, stem):
    return [f"{stem}{index}" for index in range(count)]


def summary(posteriors, labels, **options):
    recordings, channels, _, scenes = posteriors.shape
    return summarise(
        posteriors,
        labels,
        names=names(recordings, "recording"),
        scenes=names(scenes, "scene"),
        channels=names(channels, "channel"),
        **options,
    )


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # Half right of four: centre 1/2, half-width √(z²/4·(1/4 + z²/16))/(1 + z²/4) = 0.34996.
        (2, 4, 0.15004, 0.84996),
    ],
)
def test_wilson_interval_against_published_values(correct, total, low, high):
    np.testing.assert_allclose(wilson_interval(correct, total), (low, high), atol=5e-5)


@given(total=st.integers(1, 10_000), share=st.floats(0, 1))
def test_wilson_interval_holds_the_rate_and_stays_within_0_and_1(total, share):
    correct = round(share * total)
    low, high = wilson_interval(correct, total)
    assert 0 <= low <= correct / total <= high <= 1
    assert high - low < 1
    mirrored = wilson_interval(total - correct, total)
    np.testing.assert_allclose((1 - high, 1 - low), mirrored, atol=1e-12)


def test_interval_of_the_papers_best_result_is_about_1_6_points_either_side():
    low, high = wilson_interval(1959, 2518)
    np.testing.assert_allclose(((high - low) / 2), 0.0162, atol=5e-5)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_are_no_rate_are_refused(correct, total):
    with pytest.raises(ValueError, match="0 <= correct <= total"):
        wilson_interval(correct, total)


def test_log_loss_by_hand_and_clipped():
    scores = np.array([[0.5, 0.5], [0.75, 0.25]])
    np.testing.assert_allclose(
        metrics.log_loss(scores, np.array([0, 1])), (np.log(2) + np.log(4)) / 2
    )
    np.testing.assert_allclose(
        metrics.log_loss(np.array([[1.0, 0.0]]), np.array([1])), -np.log(1e-15)
    )


def test_confusion_and_macro_accuracy_by_hand():
    labels, predictions = np.array([0, 0, 0, 2]), np.array([0, 1, 0, 2])
    confusion = metrics.confusion_matrix(labels, predictions, scene_count=3)
    assert confusion.tolist() == [[2, 1, 0], [0, 0, 0], [0, 0, 1]]
    # Scene 1 has no recordings and doesn't count: (2/3 + 1) / 2.
    np.testing.assert_allclose(metrics.macro_accuracy(confusion), 5 / 6)


def test_summary_by_hand():
    right, wrong, torn = [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]
    posteriors = np.array(
        [
            [[right, torn], [wrong, right]],  # scene 0: left .75/.25, right .55/.45 → 0
            [[wrong, wrong], [right, wrong]],  # scene 0: .2/.8, .55/.45 → .375/.625 → 1, wrong
            [[wrong, torn], [torn, [0.7, 0.3]]],  # scene 1: .4/.6, .65/.35 → .525/.475 → 0, wrong
        ]
    )
    result = summarise(
        posteriors,
        np.array([0, 0, 1]),
        names=("a.wav", "b.wav", "c.wav"),
        scenes=("bus", "tram"),
        channels=("left", "right"),
        cities=("paris", "lyon", "paris"),
    )
    assert result["format"] == 2
    assert (result["recordings"], result["fragments"], result["chance"]) == (3, 2, 0.5)
    assert result["confusion"] == [[1, 1], [1, 0]]
    assert result["accuracy"]["correct"] == 1
    assert result["accuracy"]["accuracy"] == pytest.approx(1 / 3)
    assert result["macro_accuracy"] == pytest.approx(0.25)
    assert result["log_loss"] == pytest.approx(-np.log([0.65, 0.375, 0.475]).mean())
    assert {c: v["correct"] for c, v in result["by_channel"].items()} == {"left": 2, "right": 2}
    assert {c: (v["correct"], v["total"]) for c, v in result["by_city"].items()} == {
        "lyon": (0, 1),
        "paris": (1, 2),
    }
    assert {s: (v["correct"], v["total"]) for s, v in result["by_scene"].items()} == {
        "bus": (1, 2),
        "tram": (0, 1),
    }
    assert result["fragments_fused"] == {"correct": 4, "total": 6, "accuracy": 4 / 6}
    assert result["single_fragment"] == {"correct": 5, "total": 12, "accuracy": 5 / 12}


@given(
    recordings=st.integers(1, 30),
    channels=st.integers(1, 3),
    scenes=st.integers(1, 6),
    fusion=st.sampled_from(["mean", "log_mean", "max", "median", "vote"]),
    seed=st.integers(0, 1000),
)
def test_every_rate_can_be_recomputed_from_counts(recordings, channels, scenes, fusion, seed):
    posteriors, labels = fake_set(recordings, channels, 2, scenes, seed)
    cities = ["abc"[index % 3] for index in range(recordings)]
    result = summary(
        posteriors, labels, cities=cities, fragment_fusion=fusion, channel_fusion=fusion
    )
    confusion = np.array(result["confusion"])
    assert confusion.sum() == result["accuracy"]["total"] == recordings
    assert np.trace(confusion) == result["accuracy"]["correct"]
    for group in ("by_scene", "by_city"):
        parts = result[group].values()
        assert sum(part["total"] for part in parts) == recordings
        assert sum(part["correct"] for part in parts) == result["accuracy"]["correct"]
        for part in parts:
            if part["total"]:
                assert part["accuracy"] == part["correct"] / part["total"]
                assert tuple(part["interval_95"]) == wilson_interval(part["correct"], part["total"])
    by_channel = sum(part["correct"] for part in result["by_channel"].values())
    assert by_channel == result["fragments_fused"]["correct"]


def test_summary_survives_json_as_strict_readers_know_it():
    posteriors, labels = fake_set(recordings=3, scenes=50)
    result = summary(posteriors, labels, cities=np.array(["a", "a", "b"]))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_scene_without_recordings_has_no_accuracy():
    posteriors, labels = fake_set(recordings=1, scenes=2)
    absent = summary(posteriors, labels)["by_scene"][f"scene{1 - labels[0]}"]
    assert absent == {"correct": 0, "total": 0, "accuracy": None, "interval_95": None}


@pytest.mark.parametrize("cities", [None, [""] * 40, np.array([""] * 40)])
def test_a_set_without_cities_has_none(cities):
    assert summary(*fake_set(), cities=cities)["by_city"] == {}


def test_recordings_of_unknown_city_count_in_no_city():
    result = summary(*fake_set(), cities=["rome"] * 10 + [""] * 30)
    assert {city: part["total"] for city, part in result["by_city"].items()} == {"rome": 10}


def test_order_of_recordings_changes_no_count():
    posteriors, labels = fake_set()
    order = np.random.default_rng(1).permutation(len(labels))
    result, shuffled = summary(posteriors, labels), summary(posteriors[order], labels[order])
    assert result["confusion"] == shuffled["confusion"]
    assert result["by_channel"] == shuffled["by_channel"]


def test_unknown_fusion_is_the_users_mistake():
    with pytest.raises(UserError, match="config.fusion.channels"):
        summary(*fake_set(), channel_fusion="average")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"posteriors": np.ones((40, 3, 4), np.float32)}, "got shape"),
        ({"posteriors": np.full((40, 3, 6, 4), np.nan, np.float32)}, "not finite"),
        ({"labels": np.zeros(39, np.int32)}, "labels: posteriors of shape .* need shape"),
        ({"labels": np.zeros(40, np.float32)}, "labels must be integers"),
        ({"labels": np.full(40, 4)}, r"within 0\.\.3"),
        ({"labels": np.full(40, -1)}, r"within 0\.\.3"),
        ({"names": ["a.wav"]}, "names: "),
        ({"scenes": ["one"]}, "scenes: "),
        ({"channels": ["left"]}, "channels: "),
        ({"cities": ["rome"]}, "cities: "),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    posteriors, labels = fake_set()
    arguments = {
        "posteriors": posteriors,
        "labels": labels,
        "names": names(40, "recording"),
        "scenes": names(4, "scene"),
        "channels": names(3, "channel"),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        summarise(**arguments)


@given(only_a=st.integers(0, 60), only_b=st.integers(0, 60), both=st.integers(0, 5))
def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_pairs(only_a, only_b, both):
    right_a = np.array([True] * only_a + [False] * only_b + [True] * both + [False], bool)
    right_b = np.array([False] * only_a + [True] * only_b + [True] * both + [False], bool)
    result = metrics.mcnemar(right_a, right_b)
    assert (result["only_a"], result["only_b"]) == (only_a, only_b)
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    np.testing.assert_allclose(result["p"], expected, rtol=1e-9)


def test_mcnemar_at_the_papers_size_against_scipy():
    right_a, right_b = np.zeros((2, 2518), bool)
    right_a[:400], right_b[220:500] = True, True
    expected = binomtest(220, 220 + 100).pvalue
    np.testing.assert_allclose(metrics.mcnemar(right_a, right_b)["p"], expected, rtol=1e-9)
    assert 1e-12 < expected < 1e-10


@given(seed=st.integers(0, 1000))
def test_mcnemar_over_seeds_tosses_the_sign_of_each_recordings_difference(seed):
    right_a, right_b = np.random.default_rng(seed).integers(2, size=(2, 3, 8)).astype(bool)
    more = right_a.sum(axis=0) - right_b.sum(axis=0)
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    expected = np.mean(np.abs(signs @ np.abs(more)) >= abs(more.sum()))
    result = metrics.mcnemar(right_a, right_b)
    np.testing.assert_allclose(result["p"], expected, rtol=1e-9)
    assert (result["only_a"], result["only_b"]) == ((more > 0).sum(), (more < 0).sum())


def test_over_folds_pools_and_over_seeds_averages():
    parts = {
        1: {"accuracy": metrics.proportion(8, 10), "log_loss": 1.0},
        2: {"accuracy": metrics.proportion(27, 30), "log_loss": 0.2},
    }
    folds = metrics.over_folds(parts)
    assert folds["by_fold"]["2"]["accuracy"] == 0.9
    assert folds["accuracy"] == metrics.proportion(35, 40)
    assert folds["log_loss"] == pytest.approx((10 * 1.0 + 30 * 0.2) / 40)
    assert folds["mean"] == pytest.approx(0.85)
    assert folds["deviation"] == pytest.approx(0.1 / np.sqrt(2))
    seeds = metrics.over_seeds([8, 9, 7], 10)
    assert seeds["mean"] == pytest.approx(0.8)
    assert seeds["deviation"] == pytest.approx(0.1)
    assert tuple(seeds["interval_95"]) == wilson_interval(8, 10)
    assert metrics.over_seeds([8], 10)["deviation"] is None
