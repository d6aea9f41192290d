import threading
import time

import numpy as np
import pytest

from ascjax.audio import frontends
from ascjax.audio.errors import BadRecording
from ascjax.audio.logmel import LogMel
from ascjax.audio.windows import Window
from ascjax.runs.reading import Failed, batches, inputs, read_ahead


def test_items_are_made_ahead_but_not_without_end():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    taken = read_ahead(items(), 4)
    assert [next(taken) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.05)
    assert len(made) <= 3 + 4 + 1
    assert list(taken) == list(range(3, 100))


def test_errors_of_the_thread_come_in_their_place():
    def items():
        yield 1
        raise ValueError("no")

    taken = read_ahead(items(), 4)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="no"):
        next(taken)


def test_the_thread_ends_with_its_iterator():
    taken = read_ahead(iter(range(100)), 2)
    next(taken)
    [thread] = [each for each in threading.enumerate() if each.name == "ascjax-read"]
    taken.close()
    assert not thread.is_alive()


def test_batches():
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_windows_become_inputs_and_bad_recordings_failures():
    def bad():
        yield Window(0.0, np.zeros((1, 8000), np.float32))
        raise BadRecording("b.wav: cut short")

    samples = np.full((2, 4000), 0.5, np.float32)
    samples[:, ::2] *= -1
    front_end = LogMel(8000, 16)
    recordings = [("b.wav", bad()), ("c.wav", iter([Window(3.0, samples)]))]
    read = list(inputs(recordings, front_end, ("left",), 8000))
    assert [item.recording for item in read] == [0, 0, 1]
    assert isinstance(read[1], Failed)
    short = read[2]
    assert (short.start_s, short.end_s) == (3.0, 3.5)
    assert short.level_db == pytest.approx(20 * np.log10(0.5))
    assert short.values.shape == (1, 16, front_end.num_frames(8000))


@pytest.mark.parametrize("name", ["log_mel", "pcen"])
def test_a_recording_too_loud_for_features_is_bad_by_name(name):
    def windows(peak):
        samples = np.full((2, 8000), peak, np.float32)
        samples[:, ::2] *= -1
        return iter([Window(0.0, samples)])

    front_end = frontends.make(name, 8000, {"num_mels": 16})
    recordings = [("loud.wav", windows(3e38)), ("heard.wav", windows(0.5))]
    failed, heard = inputs(recordings, front_end, ("left", "average"), 8000)
    assert isinstance(failed, Failed)
    assert str(failed.error).startswith(f"loud.wav: {name}: the result is not finite: expected sam")
    assert heard.recording == 1
