import io
from pathlib import Path

import numpy as np
import pytest

from ascjax.errors import UserError
from ascjax.runs import sources


@pytest.mark.parametrize(
    ("recordings", "said"),
    [
        ([], "got an empty list"),
        (3, "expected a path"),
        (None, "expected a path"),
        ([None], "expected a path"),
        (b"a.wav", "expected a path"),
        (np.zeros(9), r"\(samples, rate\)"),
        ((np.zeros(9), 0), "sample rate: expected a whole number .* got 0"),
        ((np.zeros(9), -1), "got -1"),
        ((np.zeros(9), float("nan")), "got nan"),
        ((np.zeros(9), "48k"), "got '48k'"),
        ((np.zeros(9), 16000.5), "got 16000.5"),
        ((np.zeros(9), None), "got None"),
    ],
)
def test_what_is_no_recording_is_said_in_a_line(recordings, said):
    with pytest.raises(UserError, match=said) as raised:
        sources.listed(recordings)
    assert "\n" not in str(raised.value)


def test_one_or_several():
    stream, wave = io.BytesIO(), (np.zeros(9), 16000)
    assert sources.listed("a.wav") == ["a.wav"]
    assert sources.listed(["a.wav", Path("b.wav"), stream])[2] is stream
    assert sources.listed(wave)[0][1] == 16000
    assert sources.listed((np.zeros(9), np.float64(16000)))[0][1] == 16000
    assert [*map(sources.name, ["a\n.wav", wave, stream])] == ["a\\n.wav", "array", "stream"]
