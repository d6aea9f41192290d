import numpy as np
import pytest
from audio_files import tones

from ascjax.audio import channels
from ascjax.errors import UserError


def test_channels_of_a_stereo_recording():
    samples = np.array([[1.0, 2.0], [3.0, -2.0]], np.float32)
    views = channels.to_channels(samples, ("average", "left", "right"))
    np.testing.assert_array_equal(views, [[2.0, 0.0], [1.0, 2.0], [3.0, -2.0]])
    assert views.dtype == np.float32


def test_channels_of_a_mono_recording_are_alike():
    samples = tones(num_columns=1)
    views = channels.to_channels(samples, tuple(channels.CHANNELS))
    for channel in views:
        np.testing.assert_array_equal(channel, samples[0])


def test_channels_of_more_columns():
    samples = np.array([[1.0], [2.0], [6.0]], np.float32)
    np.testing.assert_array_equal(
        channels.to_channels(samples, ("left", "right", "average")), [[1.0], [2.0], [3.0]]
    )


def test_shares_of_columns():
    names = ("average", "left", "right")
    np.testing.assert_array_equal(channels.shares(names, 2), [[0.5, 0.5], [1, 0], [0, 1]])
    np.testing.assert_array_equal(channels.shares(names, 1), [[1], [1], [1]])


def test_unknown_channel_is_named():
    with pytest.raises(UserError, match=r"channel: .*'lefft'; did you mean 'left'"):
        channels.to_channels(tones(), ("lefft",))
    with pytest.raises(UserError, match="at least one"):
        channels.to_channels(tones(), ())
