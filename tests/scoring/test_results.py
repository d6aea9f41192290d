import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.scoring.clusters import cluster_bootstrap_interval
from ascjax.scoring.fusion import Fusion
from ascjax.scoring.rates import Proportion, Rate, wilson_interval
from ascjax.scoring.results import Results, score


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
    return score(
        posteriors,
        labels,
        names=names(recordings, "recording"),
        scenes=names(scenes, "scene"),
        channels=names(channels, "channel"),
        **options,
    )


def test_summary_by_hand():
    right, wrong, torn = [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]
    posteriors = np.array(
        [
            [[right, torn], [wrong, right]],  # scene 0: left .75/.25, right .55/.45 → 0
            [[wrong, wrong], [right, wrong]],  # scene 0: .2/.8, .55/.45 → .375/.625 → 1, wrong
            [[wrong, torn], [torn, [0.7, 0.3]]],  # scene 1: .4/.6, .65/.35 → .525/.475 → 0, wrong
        ]
    )
    result = score(
        posteriors,
        np.array([0, 0, 1]),
        names=("a.wav", "b.wav", "c.wav"),
        scenes=("bus", "tram"),
        channels=("left", "right"),
        cities=("paris", "lyon", "paris"),
    )
    assert (result.recordings, result.fragments, result.chance) == (3, 2, 0.5)
    assert result.confusion == ((1, 1), (1, 0))
    assert result.accuracy.correct == 1
    assert result.accuracy.accuracy == pytest.approx(1 / 3)
    assert result.macro_accuracy == pytest.approx(0.25)
    assert result.log_loss == pytest.approx(-np.log([0.65, 0.375, 0.475]).mean())
    assert {c: v.correct for c, v in result.by_channel.items()} == {"left": 2, "right": 2}
    assert {c: (v.correct, v.total) for c, v in result.by_city.items()} == {
        "lyon": (0, 1),
        "paris": (1, 2),
    }
    assert {s: (v.correct, v.total) for s, v in result.by_scene.items()} == {
        "bus": (1, 2),
        "tram": (0, 1),
    }
    by_scene = -np.log([np.sqrt(0.65 * 0.375), 0.475])
    assert result.macro_log_loss == pytest.approx(by_scene.mean())
    assert result.fragments_fused == Rate(4, 6, 4 / 6)
    assert result.single_fragment == Rate(5, 12, 5 / 12)


@pytest.mark.parametrize(
    ("trained", "counts"),
    [
        (("a", "b"), {"seen": 3, "unseen": 1}),
        ((), {}),
        (("a", "b", "s1"), {"seen": 4}),
        (("c",), {"unseen": 4}),
    ],
)
def test_devices_that_were_trained_on_and_others_apart(trained, counts):
    posteriors, labels = fake_set(recordings=5)
    devices = ["a", "b", "a", "s1", ""]
    result = summary(posteriors, labels, devices=devices, trained_devices=trained)
    assert {kind: part.total for kind, part in result.by_seen.items()} == counts
    assert result.seen_apart == (result.by_seen if len(counts) == 2 else {})


@settings(deadline=None)
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
    result = summary(posteriors, labels, cities=cities, by=Fusion(fusion, fusion))
    confusion = np.array(result.confusion)
    assert confusion.sum() == result.accuracy.total == recordings
    assert np.trace(confusion) == result.accuracy.correct
    for group in ("by_scene", "by_city"):
        parts = getattr(result, group).values()
        assert sum(part.total for part in parts) == recordings
        assert sum(part.correct for part in parts) == result.accuracy.correct
        for part in parts:
            if part.total:
                assert part.accuracy == part.correct / part.total
                assert part.interval_95 == wilson_interval(part.correct, part.total)
    by_channel = sum(part.correct for part in result.by_channel.values())
    assert by_channel == result.fragments_fused.correct


def test_summary_survives_json_as_strict_readers_know_it():
    posteriors, labels = fake_set(recordings=3, scenes=50)
    result = summary(posteriors, labels, cities=["a", "a", "b"], devices=["d", "", ""])
    assert msgspec.json.decode(msgspec.json.encode(result), type=Results) == result


def test_a_scene_without_recordings_has_no_accuracy():
    posteriors, labels = fake_set(recordings=1, scenes=2)
    absent = summary(posteriors, labels).by_scene[f"scene{1 - labels[0]}"]
    assert absent == Proportion(0, 0, None, None)


@pytest.mark.parametrize("unknown", [(), [""] * 40])
def test_a_set_without_cities_and_devices_has_none(unknown):
    result = summary(*fake_set(), cities=unknown, devices=unknown)
    assert result.by_city == result.by_device == {}


def test_recordings_of_unknown_city_count_in_no_city():
    result = summary(*fake_set(), cities=["rome"] * 10 + [""] * 30)
    assert {city: part.total for city, part in result.by_city.items()} == {"rome": 10}


def test_devices_are_counted_as_cities_are():
    result = summary(*fake_set(), devices=["phone", "recorder"] * 20)
    assert {device: part.total for device, part in result.by_device.items()} == {
        "phone": 20,
        "recorder": 20,
    }
    assert sum(part.correct for part in result.by_device.values()) == result.accuracy.correct


def test_groups_of_devices_have_intervals_over_their_locations():
    posteriors, labels = fake_set()
    locations = [f"rome-{index % 6}" for index in range(40)]
    devices = ["phone", "recorder"] * 20
    result = summary(
        posteriors, labels, devices=devices, locations=locations, trained_devices=["phone"]
    )
    phone = result.right[::2]
    bounds = cluster_bootstrap_interval(phone, locations[::2])
    assert result.by_device["phone"].by_location == bounds
    assert result.by_seen["seen"] == result.by_device["phone"]
    assert result.decisions.seen(["phone"]) == ["seen", "unseen"] * 20
    partly = summary(posteriors, labels, devices=devices, locations=[*locations[:-1], ""])
    assert partly.by_device["recorder"].by_location is None
    assert partly.by_device["phone"].by_location == bounds


def test_decisions_are_those_of_the_fused_scores():
    result = summary(*fake_set())
    assert result.right.sum() == result.accuracy.correct
    assert set(map(len, vars(result.decisions).values())) == {40, 0}
    assert all(1 / 4 <= each <= 1 for each in result.decisions.score)


def test_known_locations_give_the_interval_of_their_bootstrap():
    posteriors, labels = fake_set()
    places = [f"place {i // 4}" for i in range(40)]
    result = summary(posteriors, labels, locations=places)
    assert result.by_location.locations == 10
    assert result.by_location.interval_95 == cluster_bootstrap_interval(result.right, places)
    assert result.decisions.location == tuple(places)
    some = summary(posteriors, labels, locations=[*places[:-1], ""])
    assert (some.by_location, some.decisions.location[-2:]) == (None, ("place 9", ""))
    assert summary(posteriors, labels, locations=[""] * 40).decisions.location == ()
    assert summary(posteriors, labels, locations=["x"] * 40).by_location is None


def test_order_of_recordings_changes_no_count():
    posteriors, labels = fake_set()
    order = np.random.default_rng(1).permutation(len(labels))
    result, shuffled = summary(posteriors, labels), summary(posteriors[order], labels[order])
    assert result.confusion == shuffled.confusion
    assert result.by_channel == shuffled.by_channel


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match="expected methods of fusion among mean, log_mean"):
        Fusion(channels="average")


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
        ({"cities": ["rome"]}, "cities: expected 40 or none, got 1"),
        ({"devices": ["phone"]}, "devices: expected 40 or none, got 1"),
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
        score(**arguments)
