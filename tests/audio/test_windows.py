import io
import os
import threading

import numpy as np
import pytest
from audio_files import tones, truncated, write
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.audio import wave
from ascjax.audio import windows as module
from ascjax.audio.raw import RawFormat
from ascjax.audio.wave import BadRecording
from ascjax.audio.windows import windows
from ascjax.errors import UserError

MONO = RawFormat(8_000, 1, "f32le")


def raw_windows(num_samples, window, hop):
    """The windows of 0, 1, 2, ...: (start, samples) as whole numbers."""
    stream = io.BytesIO(np.arange(num_samples, dtype="<f4").tobytes())
    found = windows(stream, raw=MONO, sample_rate_hz=8_000, window_samples=window, hop_samples=hop)
    return [(round(w.start_s * 8_000), w.samples[0].astype(int).tolist()) for w in found]


def test_windows_overlap_and_a_shorter_one_ends_the_recording():
    found = raw_windows(11, window=4, hop=3)
    assert [start for start, _ in found] == [0, 3, 6, 9]
    assert [samples for _, samples in found] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [9, 10]]


def test_no_window_without_anything_new():
    assert [len(samples) for _, samples in raw_windows(10, window=4, hop=3)] == [4, 4, 4]


def test_a_last_window_of_less_than_a_tenth_of_a_hop_is_left_out():
    assert [len(s) for _, s in raw_windows(209, window=100, hop=100)] == [100, 100]
    assert [len(s) for _, s in raw_windows(210, window=100, hop=100)] == [100, 100, 10]


def test_a_recording_shorter_than_a_window_is_one_window():
    assert raw_windows(3, window=100, hop=100) == [(0, [0, 1, 2])]


def test_gaps_between_windows():
    found = raw_windows(11, window=2, hop=4)
    assert found == [(0, [0, 1]), (4, [4, 5]), (8, [8, 9])]


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4"])
def test_arrays_of_integers_are_scaled_by_their_full_scale(kind):
    wave = np.array([[-0.5, 0.0, 0.25, 0.5]])
    full_scale = 2 ** (8 * np.dtype(kind).itemsize - 1)
    zero = full_scale * (np.dtype(kind).kind == "u")
    integers = (wave * full_scale + zero).astype(kind)
    options = {"sample_rate_hz": 8_000, "window_samples": 4, "hop_samples": 4}
    [found] = windows((integers, 8_000), **options)
    np.testing.assert_allclose(found.samples, wave, atol=1e-7)


@pytest.mark.parametrize("kind", ["i8", "u8"])
def test_arrays_of_longer_integers_have_no_full_scale(kind):
    options = {"sample_rate_hz": 8_000, "window_samples": 4, "hop_samples": 4}
    with pytest.raises(BadRecording, match=r"integers of 32 bits at most, got u?int64"):
        list(windows((np.ones(4, kind), 8_000), **options))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200), st.integers(1, 60), st.integers(1, 60))
def test_windows_are_the_slices_of_the_recording(num_samples, window, hop):
    found = raw_windows(num_samples, window, hop)
    assert [start for start, _ in found] == [hop * k for k in range(len(found))]
    for start, samples in found:
        assert samples == list(range(start, min(start + window, num_samples)))
    if hop <= window:
        end = found[-1][0] + len(found[-1][1])
        assert num_samples - end < max(1, module.MIN_TAIL_SHARE * hop)
    assert all(len(samples) == window for _, samples in found[:-1])


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
@pytest.mark.parametrize("kind", ["pcm24.wav", "pcm24.flac", "layer3.mp3"])
def test_windows_of_a_file_are_those_of_the_whole(tmp_path, kind, rate):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 120_000)).astype(np.float32)
    path = write(tmp_path / kind, noise, kind)
    whole, _ = wave.read(path, rate)
    size, hop = rate, rate // 2
    found = list(windows(path, sample_rate_hz=rate, window_samples=size, hop_samples=hop))
    assert [window.start_s for window in found] == [0, 0.5, 1.0, 1.5]
    for number, window in enumerate(found):
        expected = whole[:, number * hop : number * hop + size]
        np.testing.assert_allclose(window.samples, expected, atol=1e-6)


def test_a_file_through_a_pipe(tmp_path):
    data = write(tmp_path / "a.flac", tones(), "pcm24.flac").read_bytes()
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, data), os.close(writer)))
    thread.start()
    with open(reader, "rb") as stream:
        options = {"sample_rate_hz": 48_000, "window_samples": 48_000, "hop_samples": 48_000}
        (window,) = windows(stream, **options)
    thread.join()
    np.testing.assert_allclose(window.samples, tones(), atol=2**-23)


def test_a_stream_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(module, "MAX_SPOOLED_BYTES", 1_000)
    options = {"sample_rate_hz": 8_000, "window_samples": 10, "hop_samples": 10}
    with pytest.raises(BadRecording, match="stream: more than 1,000 bytes"):
        next(windows(io.BytesIO(bytes(5_000)), **options))
    with pytest.raises(BadRecording, match="stream: is no audio file"):
        next(windows(io.BytesIO(b"text" * 100), **options))


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_a_raw_window_comes_as_soon_as_its_samples_have(rate):
    """The pipe stays open and empty while the first window is taken."""
    reader, writer = os.pipe()
    with open(reader, "rb") as stream, open(writer, "wb", buffering=0) as sender:
        found = windows(
            stream, raw=RawFormat(8_000, 2), sample_rate_hz=rate, window_samples=1_000,
            hop_samples=1_000,
        )  # fmt: skip
        sent = 1_000 * 8_000 // rate + (0 if rate == 8_000 else 2_000)  # the resampler's delay
        sender.write(np.full((sent, 2), 2**14, "<i2").tobytes() + b"\0")  # and half a sample
        first = next(found)
        assert first.samples.shape == (2, 1_000)
        np.testing.assert_allclose(first.samples[:, 500], 0.5, atol=0.01)


def test_raw_samples_of_several_columns_and_encodings():
    samples = tones(1_000)
    integers = np.round(samples.T * 2**15).astype("<i2").tobytes()
    floats = samples.T.astype("<f4").tobytes()
    for data, encoding, tolerance in ((integers, "s16le", 2**-15), (floats, "f32le", 0)):
        (window,) = windows(
            io.BytesIO(data + b"\0"), raw=RawFormat(48_000, 2, encoding), sample_rate_hz=48_000,
            window_samples=1_000, hop_samples=1_000,
        )  # fmt: skip
        np.testing.assert_allclose(window.samples, samples, atol=tolerance)


def test_bad_input_is_named(tmp_path):
    options = {"sample_rate_hz": 48_000, "window_samples": 100, "hop_samples": 100}
    with pytest.raises(BadRecording, match="stream: holds no samples"):
        list(windows(io.BytesIO(b""), raw=MONO, **options))
    nan = io.BytesIO(np.full(100, np.nan, "<f4").tobytes())
    with pytest.raises(BadRecording, match="stream: 100 of 100 samples are NaN"):
        list(windows(nan, raw=MONO, **options))
    path = truncated(write(tmp_path / "a.mp3", tones(96_000), "layer3.mp3"), 0.5)
    found = windows(path, **options)
    next(found)
    with pytest.raises(BadRecording, match="cut short"):
        list(found)
    with pytest.raises(UserError, match="expected one of s16le, f32le, got 's24le'"):
        RawFormat(8_000, 1, "s24le")
    with pytest.raises(UserError, match="expected 1 to 64, got 0"):
        RawFormat(8_000, 0)
    for wrong in ({"window_samples": 0}, {"hop_samples": 0}):
        with pytest.raises(ValueError, match="expected 1 sample or more"):
            next(windows(path, **{**options, **wrong}))
