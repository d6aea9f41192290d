import json
import math
import re

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from ascjax.scoring import calibration
from ascjax.scoring.calibration import Calibration, fit_temperature, temper
from ascjax.scoring.conformal import prediction_sets
from ascjax.scoring.selective import answered_statistics


def fake_scores(recordings=800, scenes=4, sharpness=2.0, seed=0):
    """Scores overconfident by a temperature of ``sharpness``, and labels drawn from the truth."""
    rng = np.random.default_rng(seed)
    truth = temper(np.exp(rng.normal(scale=4, size=(recordings, scenes))), 1)
    labels = (truth.cumsum(axis=1) < rng.random((recordings, 1))).sum(axis=1)
    return temper(truth, 1 / sharpness), np.minimum(labels, scenes - 1)


def test_temper_by_hand():
    scores = np.array([[0.8, 0.2]])
    # 0.8 : 0.2 is 4 : 1; its root 2 : 1, its square 16 : 1.
    np.testing.assert_allclose(temper(scores, 2), [[2 / 3, 1 / 3]])
    np.testing.assert_allclose(temper(scores, 0.5), [[16 / 17, 1 / 17]])
    np.testing.assert_allclose(temper(scores, 1), scores)


def test_a_score_of_0_is_no_veto():
    tempered = temper(np.array([[1.0, 0.0]], np.float32), 20)
    # The floor of 2^−126 becomes 2^−6.3.
    np.testing.assert_allclose(tempered[0, 1], 2**-6.3 / (1 + 2**-6.3))


@pytest.mark.parametrize("temperature", [0, -1, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match="finite temperature above 0"):
        temper(np.array([[0.8, 0.2]]), temperature)


@pytest.mark.parametrize(("recordings", "correct"), [(1, 1), (5, 4)])
def test_fitted_temperature_by_hand(recordings, correct):
    # At a score of 0.9 throughout, the best tempered score is the share of correct recordings, one
    # more counting as half: (1 + 1/2) / 2 = (4 + 1/2) / 6 = 3/4. 9^(1/T) = 3 gives T = 2.
    scores = np.tile([0.9, 0.1], (recordings, 1))
    labels = (np.arange(recordings) >= correct).astype(int)
    assert fit_temperature(scores, labels) == pytest.approx(2, rel=1e-9)


def test_fitted_temperature_undoes_overconfidence():
    scores, labels = fake_scores(recordings=20_000)
    assert fit_temperature(scores, labels) == pytest.approx(2, rel=0.05)


def test_fitted_temperature_stays_within_bounds():
    sure = np.tile([1.0, 0.0], (1000, 1))
    wrong = fit_temperature(sure, np.ones(1000, int))
    assert wrong == pytest.approx(calibration.MAX_TEMPERATURE)
    right = fit_temperature(np.tile([0.51, 0.49], (1000, 1)), np.zeros(1000, int))
    assert right == pytest.approx(calibration.MIN_TEMPERATURE)
    # Uninformative scores stay as they are.
    assert fit_temperature(np.full((3, 2), 0.5), np.zeros(3, int)) == 1


def test_a_few_correct_recordings_do_not_call_for_certainty():
    scores = np.tile([0.7, 0.3], (10, 1))
    tempered = temper(scores, fit_temperature(scores, np.zeros(10, int)))
    np.testing.assert_allclose(tempered[:, 0], 10.5 / 11)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 6))
def test_no_other_temperature_has_a_lower_loss(seed, recordings, scenes):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(scenes), size=recordings)
    labels = rng.integers(scenes, size=recordings)

    def loss(temperature):
        weights = np.eye(scenes)[labels] * recordings + 1 / scenes
        return -(weights * np.log(temper(scores, temperature))).sum()

    best = fit_temperature(scores, labels)
    assert calibration.MIN_TEMPERATURE <= best <= calibration.MAX_TEMPERATURE
    for other in np.geomspace(0.051, 19.9, 30):
        assert loss(best) <= loss(other) * (1 + 1e-9)
    np.testing.assert_array_equal(temper(scores, best).argmax(axis=1), scores.argmax(axis=1))


def test_no_recordings_are_refused():
    with pytest.raises(ValueError, match="at least 1 recording"):
        fit_temperature(np.ones((0, 3)), np.zeros(0, int))


def test_a_fit_keeps_its_promises_on_other_recordings():
    fitted = Calibration.fit(*fake_scores(recordings=4000))
    assert (fitted.recordings, fitted.part) == (4000, "validation")
    scores, labels = fake_scores(recordings=4000, seed=1)
    tempered = temper(scores, fitted.temperature)
    for accuracy, threshold in fitted.thresholds.items():
        answered = answered_statistics(tempered, labels, threshold).correct
        assert answered.total > 0
        assert answered.interval_95[1] >= accuracy
    for coverage, threshold in fitted.conformal.items():
        covered = prediction_sets(tempered, threshold)[np.arange(4000), labels].mean()
        assert covered == pytest.approx(coverage, abs=0.03)


def from_json(content: bytes) -> Calibration:
    """A calibration as `records.read` reads it within results.json."""
    return msgspec.convert(msgspec.json.decode(content), Calibration, str_keys=True)


def test_json_round_trip():
    # 50 recordings are too few for 99 %: that threshold is None, and must stay so.
    fitted = Calibration.fit(*fake_scores(recordings=50))
    assert fitted.thresholds[0.99] is None
    assert from_json(msgspec.json.encode(fitted)) == fitted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": "hot"}, "Expected `float`, got `str` - at `$.temperature`"),
        ({"temperature": True}, "Expected `float`, got `bool`"),
        ({"temperature": 0.0}, "expected a temperature in"),
        ({"recordings": 2.5}, "Expected `int`, got `float`"),
        ({"recordings": 0}, "at least 1 recording"),
        ({"thresholds": [0.9]}, "Expected `object`, got `array`"),
        ({"thresholds": {"most": 0.9}}, "Expected `float`, got `str`"),
        ({"thresholds": {"0.9": "x"}}, "Expected `float | null`, got `str`"),
        ({"conformal": {"0.9": None}}, "Expected `float`, got `null`"),
        ({"conformal": {"90": 0.5}}, "rates and thresholds in 0..1"),
        ({"part": 1}, "Expected `str`, got `int`"),
        ({"part": "test"}, "never fitted on the test part"),
        ({"temperature": ...}, "missing required field `temperature`"),
    ],
)
def test_json_of_another_kind_is_refused(changes, message):
    values = json.loads(msgspec.json.encode(Calibration(1.0, {0.9: None}, {0.9: 0.5}, 9)))
    values = {key: value for key, value in {**values, **changes}.items() if value is not ...}
    with pytest.raises(msgspec.ValidationError, match=re.escape(message)):
        from_json(json.dumps(values).encode())


def test_the_test_part_is_refused():
    with pytest.raises(ValueError, match="never fitted on the test part"):
        Calibration.fit(*fake_scores(recordings=20), part="test")
