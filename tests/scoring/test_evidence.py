import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.report.text import evidence_table
from ascjax.scoring import evidence
from ascjax.scoring.fusion import Fusion
from ascjax.scoring.results import score

SCENES = ("metro_station", "bus", "tram")


def votes_of(*recordings):
    """Posteriors [recording, 1, fragment, scene]: each fragment gives 0.8 to the scene listed."""
    return np.where(np.eye(3)[np.array(recordings)], 0.8, 0.1)[:, None]


# Of scene 0: recognised, taken for 1 twice, for 2 once; of scene 1: recognised; none of scene 2.
VOTES = votes_of([0, 0, 0], [1, 1, 0], [1, 2, 1], [2, 0, 2], [1, 1, 1])
LABELS = np.array([0, 0, 0, 0, 1])


def test_votes_oracle_and_confused_pairs_by_hand():
    found = evidence.weigh_fragments(VOTES, LABELS, by=Fusion())
    assert (found.fused.correct, found.fused.total) == (2, 5)
    assert [part.correct for part in found.by_position] == [2, 3, 3]
    assert found.oracle.correct == 4, "only the third recording has no right fragment"
    assert found.oracle_of_guesses == pytest.approx(1 - (2 / 3) ** 3)
    assert found.right.recordings == 2
    assert found.right.agreement == 1
    assert found.wrong.recordings == 3
    assert found.wrong.agreement == pytest.approx(2 / 3)
    often, once = found.pairs
    assert (often.true, often.predicted, often.recordings) == (0, 1, 2)
    assert often.votes == [[0, 1, 0], [0, 0.5, 0.5], [0.5, 0.5, 0]]
    assert (once.true, once.predicted, once.recordings) == (0, 2, 1)
    assert once.votes == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert len(evidence.weigh_fragments(VOTES, LABELS, by=Fusion(), max_pairs=1).pairs) == 1


def test_effective_fragments_from_one_to_all():
    scores = np.array([[[0.5], [0.5], [0.5]], [[0.9], [0.0], [0.0]], [[0.4], [0.4], [0.0]]])
    counts = evidence.effective_fragments(scores, np.zeros(3, int))
    np.testing.assert_allclose(counts, [3, 1, 2])


def test_channels_are_fused_before_a_fragment_votes():
    left, right = votes_of([0, 1]), np.array([[[[0.1, 0.9, 0.0], [0.1, 0.9, 0.0]]]])
    both = np.concatenate([left, right], axis=1)
    scores = evidence.fragment_scores(both)
    np.testing.assert_allclose(scores, both.mean(axis=1))
    assert scores.argmax(-1).tolist() == [[1, 1]]


def test_a_fragment_whose_scenes_no_channel_agrees_on_gives_no_nan():
    # The channels' medians are 0 for scene 0 in either fragment, yet fused it is predicted.
    posteriors = np.array(
        [[[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]]], float
    )
    found = evidence.weigh_fragments(posteriors, np.array([0]), by=Fusion(channels="median"))
    kind = "right" if found.right.recordings else "wrong"
    assert 1 <= getattr(found, kind).effective_fragments <= 2


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 3), st.integers(2, 5), st.integers(2, 4), st.integers(0, 99)
)
def test_of_any_posteriors_the_parts_fit_together(recordings, channels, fragments, scenes, seed):
    rng = np.random.default_rng(seed)
    posteriors = rng.dirichlet(np.full(scenes, 0.3), size=(recordings, channels, fragments))
    labels = rng.integers(scenes, size=recordings)
    found = evidence.weigh_fragments(posteriors, labels, by=Fusion(), max_pairs=99)
    whole = score(
        posteriors,
        labels,
        names=[str(i) for i in range(recordings)],
        scenes=[str(i) for i in range(scenes)],
        channels=[str(i) for i in range(channels)],
    )
    assert found.fused == whole.accuracy
    assert found.oracle.correct >= max(part.correct for part in found.by_position)
    assert sum(getattr(found, kind).recordings for kind in ("right", "wrong")) == recordings
    assert sum(pair.recordings for pair in found.pairs) == found.wrong.recordings
    for pair in found.pairs:
        assert whole.confusion[pair.true][pair.predicted] == pair.recordings
        np.testing.assert_allclose(np.sum(pair.votes, axis=1), 1)
    for kind in ("right", "wrong"):
        effective = getattr(found, kind).effective_fragments
        assert effective is None or 1 - 1e-9 <= effective <= fragments + 1e-9


def test_whole_evidence_table():
    lines = evidence_table(
        evidence.weigh_fragments(VOTES, LABELS, by=Fusion()), SCENES
    ).splitlines()
    assert lines[4:] == [
        "                            accuracy  95 % interval  correct  of",
        "all fused                     40.0 %    11.8–76.9 %        2   5",
        "  fragment 1 alone            40.0 %    11.8–76.9 %        2   5",
        "  fragment 2 alone            60.0 %    23.1–88.2 %        3   5",
        "  fragment 3 alone            60.0 %    23.1–88.2 %        3   5",
        "mean over fragments           53.3 %",
        "ORACLE: any fragment right    80.0 %    37.6–96.4 %        4   5",
        "oracle, were all guesses      70.4 %",
        "",
        "predicted  recordings  fragments that agree  effective fragments",
        "right               2               100.0 %            3.00 of 3",
        "wrong               3                66.7 %            2.40 of 3",
        "",
        "votes by fragment                            all      1      2      3",
        "metro station taken for bus (2 recordings)",
        "  for metro station                         17 %    0 %    0 %   50 %",
        "  for bus                                   67 %  100 %   50 %   50 %",
        "  for other scenes                          17 %    0 %   50 %    0 %",
        "metro station taken for tram (1 recording)",
        "  for metro station                         33 %    0 %  100 %    0 %",
        "  for tram                                  67 %  100 %    0 %  100 %",
        "  for other scenes                           0 %    0 %    0 %    0 %",
    ]


def test_without_a_mistake_the_table_says_so():
    found = evidence.weigh_fragments(VOTES[[0]], LABELS[[0]], by=Fusion())
    assert evidence_table(found, SCENES).endswith("No recording is mistaken.")
    assert found.wrong == evidence.Concentration(0, None, None)
