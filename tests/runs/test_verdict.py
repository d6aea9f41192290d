import numpy as np
import pytest

from ascjax.runs.verdict import NOVEL, SILENT, Prediction, Scored, Tally

SCORES = {"bus": 0.2, "park": 0.7, "tram": 0.1}


def test_the_answer_and_its_runners_up():
    scored = Scored(0.0, 2.5, SCORES)
    assert (scored.scene, scored.likeliest, scored.score) == ("park", "park", 0.7)
    assert scored.top(2) == {"park": 0.7, "bus": 0.2}
    assert repr(scored) == "Scored(0–2.5 s: park, 70.0 %)"
    unknown = Prediction(0.0, 2.5, SCORES, "silence", source="a.wav")
    assert (unknown.scene, unknown.likeliest) == ("unknown", "park")
    assert repr(unknown) == "Prediction(a.wav: unknown (silence), 70.0 %)"


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.29, ()), (0.31, ("park",)), (0.85, ("park", "bus")), (1.0, ("park", "bus", "tram"))],
)
def test_sets(threshold, expected):
    assert Scored(0, 1, SCORES).scene_set(threshold) == expected
    assert Scored(0, 1, SCORES, "low score").scene_set(threshold) == expected
    assert Scored(0, 1, SCORES, "novel").scene_set(threshold) == ()


@pytest.mark.parametrize(
    ("windows", "mean", "unknown"),
    [
        (["", ""], 0.5, ""),  # (0 + 1) / 2
        ([SILENT, "", SILENT], 1.0, ""),
        ([SILENT, SILENT], 0.5, SILENT),
        ([NOVEL, ""], 1.0, ""),  # not more than half
        ([NOVEL, "", NOVEL], 1.0, NOVEL),
        ([SILENT, NOVEL], 0.5, NOVEL),
    ],
)
def test_silent_and_novel_windows_have_no_part(windows, mean, unknown):
    tally = Tally()
    for value, reason in enumerate(windows):
        tally.add(np.full((1, 2), value, np.float32), reason)
    np.testing.assert_array_equal(tally.mean(), np.full((1, 2), mean))
    assert (tally.unknown, tally.windows) == (unknown, len(windows))
