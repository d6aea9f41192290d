import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.data.fragments import layout


@pytest.mark.parametrize(("count", "width"), [(1, 431), (3, 143), (6, 71), (9, 47), (12, 35)])
def test_without_overlap_they_are_the_papers_equal_pieces(count, width):
    assert layout(431, count) == (width, [i * width for i in range(count)])


@pytest.mark.parametrize(
    ("frames", "count", "overlap", "width", "starts"),
    [
        (300, 5, 0.5, 100, [0, 50, 100, 150, 200]),
        (180, 5, 0.8, 100, [0, 20, 40, 60, 80]),
        (431, 6, 0.25, 90, [0, 67, 135, 202, 270, 337]),
    ],
)
def test_overlapping_ones_share_their_ends(frames, count, overlap, width, starts):
    assert layout(frames, count, overlap) == (width, starts)


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(1, 50), st.floats(0, 0.95))
def test_all_lie_inside_and_leave_little(frames, count, overlap):
    width, starts = layout(frames, count, overlap)
    assert len(starts) == count
    assert starts == sorted(starts)
    assert starts[0] == 0
    # Less is left than one more frame for each of the pieces would take.
    assert frames - count * (1 - overlap) - 1 < starts[-1] + width + 1 <= frames + 1
