import io

import numpy as np
import pytest
import soundfile
import soxr

from ascjax.data.duplicates import Copies
from ascjax.data.fingerprint import bit_error_rate, excerpts, fingerprint

RATE = 16_000


def sound(seed, seconds=4.0):
    """Noise of a slowly changing colour."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(round(seconds * RATE))
    steps = np.repeat(rng.uniform(0.2, 1, 1 + len(noise) // 2_000), 2_000)[: len(noise)]
    return (0.1 * steps * noise).astype(np.float32)


def coded(samples, **form):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, **form)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("louder", lambda s: 3 * s),
        ("shifted", lambda s: s[12_345:]),
        ("excerpt", lambda s: s[20_001:50_000]),
        ("mp3", lambda s: coded(s[777:], format="MP3")),
        ("ogg", lambda s: coded(s[777:], format="OGG", subtype="VORBIS")),
        ("noisy", lambda s: s + 0.01 * sound(99)),
    ],
)
def test_copies_are_found(name, change):
    others = {index: fingerprint(sound(index), RATE) for index in range(5)}
    copy = fingerprint(change(sound(3)).astype(np.float32), RATE)
    assert excerpts(others | {9: copy}) == [Copies("excerpt", (3, 9))]


def test_a_copy_at_another_rate_is_found():
    copy = fingerprint(soxr.resample(sound(1), RATE, 44_100), 44_100)
    assert excerpts({0: fingerprint(sound(1), RATE), 1: copy}) == [Copies("excerpt", (0, 1))]


def test_chains_of_overlaps_are_one_group():
    whole = sound(0, 8.0)
    pieces = [whole[start * RATE : (start + 4) * RATE] for start in (0, 2, 4)]
    marks = {index: fingerprint(piece, RATE) for index, piece in enumerate(pieces)}
    assert excerpts(marks) == [Copies("excerpt", (0, 1, 2))]


def test_those_known_to_be_copies_are_not_reported_again():
    marks = {index: fingerprint(sound(0), RATE) for index in range(3)}
    assert excerpts(marks, [Copies("bytes", (0, 1))]) == [Copies("excerpt", (0, 2))]


def test_other_sounds_differ_in_half_of_their_bits():
    one, other = (fingerprint(sound(seed), RATE) for seed in (0, 1))
    for offset in (-100, 0, 100):
        assert 0.4 < bit_error_rate(one, other, offset) < 0.6
    assert bit_error_rate(one, one, 0) == 0


def test_silence_and_short_sounds_match_nothing():
    silent = fingerprint(np.zeros(4 * RATE, np.float32), RATE)
    assert not silent.any()
    assert excerpts({0: silent, 1: silent}) == []
    short = fingerprint(sound(0, 0.3), RATE)
    assert len(short) == 0
    brief = fingerprint(sound(0, 1.0), RATE)  # 0.6 s are left of it
    assert bit_error_rate(brief, brief, 0) == 1
    assert excerpts({0: short, 1: short, 2: brief, 3: brief}) == []
    assert excerpts({}) == []


def test_silence_around_a_sound_does_not_count():
    padded = np.concatenate([np.zeros(2 * RATE, np.float32), sound(0)])
    marks = {0: fingerprint(padded, RATE), 1: fingerprint(sound(0), RATE)}
    assert excerpts(marks) == [Copies("excerpt", (0, 1))]


def test_false_alarms_on_esc10(shared):
    """Forty clips of rain, 780 pairs."""
    files = sorted((shared / "data" / "esc10" / "002 - Rain").glob("*.ogg"))
    marks = {}
    for index, path in enumerate(files):
        samples, rate = soundfile.read(path, dtype="float32")
        marks[index] = fingerprint(samples, rate)
    assert len(marks) == 40
    assert excerpts(marks) == []


def test_near_copies_in_esc10(shared):
    folder = shared / "data" / "esc10" / "004 - Baby cry"
    marks = {}
    for index, name in enumerate(["3-151080-A.ogg", "5-151085-A.ogg", "3-152007-A.ogg"]):
        samples, rate = soundfile.read(folder / name, dtype="float32")
        marks[index] = fingerprint(samples, rate)
    assert excerpts(marks) == [Copies("excerpt", (0, 1))]
