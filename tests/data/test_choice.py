import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.audio.wave import Info
from ascjax.data.choice import choose_rate_and_duration, two_durations


def infos(*pairs):
    """Headers from pairs of a rate in Hz and a duration in s."""
    return [Info(rate, round(rate * seconds), 1) for rate, seconds in pairs]


def test_a_uniform_set():
    choice = choose_rate_and_duration(infos(*[(48_000, 10)] * 3))
    assert (choice.sample_rate_hz, choice.duration_s) == (48_000, 10)
    assert (choice.used_s, choice.total_s) == (30, 30)
    assert not any((choice.num_resampled, choice.num_cut, choice.num_repeated, choice.num_short))
    assert choice.why == "all recordings have both"


def test_the_most_common_rate_wins_and_a_tie_goes_to_the_highest():
    choice = choose_rate_and_duration(infos((16_000, 1), (16_000, 1), (48_000, 1)))
    assert (choice.sample_rate_hz, choice.num_resampled) == (16_000, 1)
    assert "16,000 Hz is the most common of 2 rates" in choice.why
    choice = choose_rate_and_duration(infos((16_000, 1), (48_000, 1), (44_100, 1), (8_000, 1)))
    assert (choice.sample_rate_hz, choice.num_resampled) == (48_000, 3)
    assert "4 rates are equally common, 48,000 Hz is the highest" in choice.why


def test_the_most_common_duration_wins_with_what_it_costs():
    choice = choose_rate_and_duration(infos(*[(8_000, 5)] * 8, (8_000, 9), (8_000, 3)))
    assert choice.duration_s == 5
    assert (choice.num_cut, choice.num_repeated, choice.num_short) == (1, 1, 0)
    assert (choice.used_s, choice.total_s) == (48, 52)


def test_no_common_duration_gives_one_that_nine_in_ten_fill():
    choice = choose_rate_and_duration(infos(*[(8_000, seconds) for seconds in range(1, 21)]))
    assert choice.duration_s == 3
    assert (choice.num_cut, choice.num_repeated, choice.num_short) == (17, 1, 1)
    assert (
        "durations differ (1 to 20 s), and nine in ten recordings have at least 3 s" in choice.why
    )


def test_a_duration_for_which_many_are_too_short_is_not_taken():
    choice = choose_rate_and_duration(infos(*[(8_000, 10)] * 6, *[(8_000, 1)] * 4))
    assert (choice.duration_s, choice.num_short) == (1, 0)
    assert (choice.used_s, choice.total_s) == (10, 64)


def test_two_far_durations_are_told_from_ones_that_differ():
    mixed = [1.0, 10.0] * 20 + [10.01, 3.0]
    assert two_durations(mixed, 1.0) == ((1.0, 20), (10.0, 21))
    assert two_durations(mixed, 10.0) is None
    for lengths in (
        [10.0], [1.0] * 9, [2.5, 10.0] * 9, [1.0] * 4 + [10.0] * 60, [1.0, 10.0, 4.0] * 9,
        [0.1 * 2**k for k in range(9)],
    ):  # fmt: skip
        assert two_durations(lengths, 0.1) is None


def test_what_was_asked_for_is_kept_and_its_cost_counted():
    choice = choose_rate_and_duration(
        infos((8_000, 10), (8_000, 1)), sample_rate_hz=16_000, duration_s=4
    )
    assert (choice.sample_rate_hz, choice.duration_s, choice.why) == (16_000, 4, "as asked")
    assert (choice.num_resampled, choice.num_short, choice.used_s) == (2, 1, 4)


@settings(deadline=None, max_examples=60)
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from([8_000, 16_000, 48_000]), st.integers(1, 99)), min_size=1
    )
)
def test_the_choice_is_one_that_the_set_has(pairs):
    choice = choose_rate_and_duration(infos(*pairs))
    assert choice.sample_rate_hz in {rate for rate, _ in pairs}
    assert choice.duration_s in {seconds for _, seconds in pairs}
    assert 0 < choice.used_s <= choice.total_s == pytest.approx(sum(s for _, s in pairs))
    assert choice.num_short <= len(pairs) / 10
