"""Choice of one sample rate and duration for a set, with its cost."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ascjax.audio.wave import Info

# A recording within 2 % of a duration has that duration.
_TOLERANCE = 0.02
_SAME_RATE, _SAME_DURATION = "all recordings have this rate", "all have this duration"


@dataclass(frozen=True)
class Choice:
    """A sample rate and a duration for a whole set.

    Attributes:
      sample_rate_hz: to which recordings of other rates are resampled.
      duration_s: taken from the start of each recording.
      why: a line with the reasons.
      used_s: seconds of audio that are used.
      total_s: seconds of audio there are.
      num_resampled: recordings of another rate.
      num_cut: recordings longer than the duration.
      num_repeated: recordings that are repeated to fill it.
      num_short: recordings that are too short to be repeated.
    """

    sample_rate_hz: int
    duration_s: float
    why: str
    used_s: float
    total_s: float
    num_resampled: int
    num_cut: int
    num_repeated: int
    num_short: int


def choose_rate_and_duration(
    infos: Collection[Info],
    *,
    sample_rate_hz: int = 0,
    duration_s: float = 0.0,
    min_duration_share: float = 0.5,
) -> Choice:
    """Returns the rate and duration that suit most recordings.

    The rate is the most common one; of several, the highest, so that no recording loses its upper
    band. The duration is the most common one if half of the recordings have it and at most a tenth
    are too short for it; else the longest that nine in ten recordings fill.

    Args:
      infos: the header of each recording; at least one.
      sample_rate_hz: a rate that was asked for; 0 to choose.
      duration_s: a duration that was asked for; 0 to choose.
      min_duration_share: share of the duration that a recording must have, 0..1.
    """
    lengths = sorted(info.duration_s for info in infos)
    rate, why_rate = (sample_rate_hz, "") if sample_rate_hz else _rate(infos)
    duration, why_duration = (
        (duration_s, "") if duration_s else _duration(lengths, min_duration_share)
    )
    long_enough = [length for length in lengths if length >= min_duration_share * duration]
    return Choice(
        sample_rate_hz=rate,
        duration_s=duration,
        why=_joined(why_rate, why_duration),
        used_s=math.fsum(min(length, duration) for length in long_enough),
        total_s=math.fsum(lengths),
        num_resampled=sum(info.sample_rate_hz != rate for info in infos),
        num_cut=sum(length > duration * (1 + _TOLERANCE) for length in lengths),
        num_repeated=sum(length < duration * (1 - _TOLERANCE) for length in long_enough),
        num_short=len(lengths) - len(long_enough),
    )


def two_durations(
    lengths: Sequence[float], duration_s: float
) -> tuple[tuple[float, int], tuple[float, int]] | None:
    """Returns two far durations that a set mixes, the shorter first, and how many have each.

    None unless nine in ten recordings have one of them, a tenth or more each, and the longer is at
    least five times the shorter, as in the sets of 10 s and of 1 s that DCASE made of one audio;
    none either if ``duration_s``, which training takes, is half of the longer or more.
    """
    counts: Counter[float] = Counter()
    for length in lengths:
        near = (known for known in counts if abs(length - known) <= _TOLERANCE * known)
        counts[next(near, length)] += 1
    found = sorted(counts.most_common(2))
    if len(found) < 2 or found[1][0] < 5 * found[0][0] or found[1][0] <= 2 * duration_s:
        return None
    numbers = [number for _, number in found]
    if 10 * sum(numbers) < 9 * len(lengths) or 10 * min(numbers) < len(lengths):
        return None
    return found[0], found[1]


def _joined(why_rate: str, why_duration: str) -> str:
    if (why_rate, why_duration) == (_SAME_RATE, _SAME_DURATION):
        return "all recordings have both"
    return "; ".join(filter(None, (why_rate, why_duration))) or "as asked"


def _rate(infos: Collection[Info]) -> tuple[int, str]:
    counts = Counter(info.sample_rate_hz for info in infos)
    most = max(counts.values())
    equal = [rate for rate, count in counts.items() if count == most]
    rate = max(equal)
    if len(counts) == 1:
        return rate, _SAME_RATE
    if len(equal) > 1:
        return rate, f"{len(equal)} rates are equally common, {rate:,} Hz is the highest of them"
    return rate, f"{rate:,} Hz is the most common of {len(counts)} rates"


def _duration(lengths: Sequence[float], min_share: float) -> tuple[float, str]:
    """Returns the duration for recordings of these lengths, ascending, and the reason."""
    counts = Counter(lengths)
    common = max(counts, key=lambda length: (counts[length], length))
    if len(counts) == 1:
        return common, _SAME_DURATION
    near = sum(abs(length - common) <= _TOLERANCE * common for length in lengths)
    short = sum(length < min_share * common for length in lengths)
    if 2 * near >= len(lengths) and 10 * short <= len(lengths):
        return common, f"{common:g} s is the most common of {len(counts)} durations"
    filled = lengths[len(lengths) // 10]
    return filled, (
        f"durations differ ({lengths[0]:g} to {lengths[-1]:g} s), and nine in ten recordings have "
        f"at least {filled:g} s"
    )
