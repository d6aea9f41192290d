import pytest

from ascjax.report import plots
from ascjax.scoring.evidence import Concentration, Confusion, Evidence
from ascjax.scoring.rates import proportion


def is_inside(artist, figure):
    extent, page = artist.get_window_extent(), figure.bbox.padded(1)
    return page.contains(extent.x0, extent.y0) and page.contains(extent.x1, extent.y1)


def found_of(positions, pairs):
    return Evidence(
        fused=proportion(6, 10),
        by_position=[proportion(6, 10)] * positions,
        oracle=proportion(9, 10),
        oracle_of_guesses=0.75,
        right=Concentration(6, 1.0, 1.0),
        wrong=Concentration(4, 1.0, 1.0),
        pairs=[Confusion(0, 1, 4, [[0.25, 0.5, 0.25]] * positions)] * pairs,
    )


def test_evidence_stacks_votes_and_marks_the_oracle_as_one():
    figure = plots.evidence(found_of(3, 1), scenes=("metro_station", "bus"), columns=2)
    accuracy, votes = figure.axes
    oracle, fused = (line.get_ydata()[0] for line in accuracy.lines[:2])
    assert (oracle, fused) == (90, 60)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[0] == "oracle (any fragment right)"
    assert votes.get_title() == "metro station\n→ bus (4)"
    heights = [[bar.get_height() for bar in bars] for bars in votes.containers]
    assert heights == [[25] * 3, [25] * 3, [50] * 3]
    assert votes.containers[2][0].get_y() == 50


@pytest.mark.parametrize(("positions", "pairs", "columns"), [(2, 0, 1), (12, 7, 2), (6, 4, 1)])
def test_evidence_of_any_size_is_drawn(positions, pairs, columns):
    figure = plots.evidence(found_of(positions, pairs), scenes=("a" * 40, "$b$"), columns=columns)
    figure.draw_without_rendering()
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == 1 + pairs
    assert all(is_inside(each, figure) for each in [*figure.legends, *(ax.title for ax in panels)])
