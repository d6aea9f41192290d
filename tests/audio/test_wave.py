import io
import pickle
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.audio import wave
from ascjax.audio.wave import BadRecording
from ascjax.errors import UserError

FORMATS = {
    "pcm16.wav": ("WAV", "PCM_16", 2**-15),
    "pcm24.wav": ("WAV", "PCM_24", 2**-23),
    "pcm32.wav": ("WAV", "PCM_32", 2**-24),
    "float.wav": ("WAV", "FLOAT", 0),
    "double.wav": ("WAV", "DOUBLE", 0),
    "extensible.wav": ("WAVEX", "PCM_24", 2**-23),
    "rf64.wav": ("RF64", "PCM_24", 2**-23),
    "pcm24.flac": ("FLAC", "PCM_24", 2**-23),
    "vorbis.ogg": ("OGG", "VORBIS", 0.05),
    "opus.ogg": ("OGG", "OPUS", 0.1),
    "layer3.mp3": ("MP3", "MPEG_LAYER_III", 0.05),
}


def tones(num_samples: int = 48_000, num_columns: int = 2) -> np.ndarray:
    """float32 [column, sample]: a tone of its own for each column."""
    time = np.arange(num_samples) / 48_000
    hz = 220.0 * np.arange(1, num_columns + 1)[:, None]
    return (0.5 * np.sin(2 * np.pi * hz * time[None, :])).astype(np.float32)


def write(path, samples, kind="pcm24.wav", rate=48_000):
    container, subtype, _ = FORMATS[kind]
    soundfile.write(path, samples.T, rate, format=container, subtype=subtype)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_reads_every_format_in_full_scale(tmp_path, kind):
    samples = tones()
    path = write(tmp_path / kind, samples, kind)
    read, rate = wave.read(path)
    assert rate == 48_000
    assert read.dtype == np.float32
    assert read.shape[0] == 2
    assert wave.probe(path) == wave.Info(48_000, read.shape[1], 2)
    assert abs(read.shape[1] - samples.shape[1]) <= 2_500  # mp3 pads to whole frames
    middle = slice(3_000, 45_000)  # encoders fade in and out
    if read.shape == samples.shape:
        assert np.abs(read - samples)[:, middle].max() <= FORMATS[kind][2]


@pytest.mark.parametrize("num_columns", [1, 2, 4])
def test_reads_any_number_of_columns(tmp_path, num_columns):
    samples = tones(num_columns=num_columns)
    read, _ = wave.read(write(tmp_path / "a.wav", samples))
    np.testing.assert_allclose(read, samples, atol=2**-23)


def test_resamples_to_the_rate_asked_for(tmp_path):
    path = write(tmp_path / "a.wav", tones())
    read, rate = wave.read(path, 44_100)
    assert (rate, read.shape) == (44_100, (2, 44_100))
    expected = 0.5 * np.sin(2 * np.pi * 220 * np.arange(44_100) / 44_100)
    np.testing.assert_allclose(read[0, 2_000:-2_000], expected[2_000:-2_000], atol=1e-3)


def test_reads_the_real_clips(shared):
    for path in sorted((shared / "data" / "binaural").glob("*.wav")):
        assert wave.probe(path) == wave.Info(48_000, 480_000, 2)
        samples, _ = wave.read(path)
        assert 0 < np.abs(samples).max() <= 1


def truncated(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def says(path, reason):
    """The two readers raise one line that names the file and this reason."""
    with pytest.raises(BadRecording, match=reason) as error:
        wave.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return error.value


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.9999])
@pytest.mark.parametrize(
    "kind", ["pcm16.wav", "pcm24.wav", "float.wav", "extensible.wav", "rf64.wav"]
)
def test_truncated_wav(tmp_path, kind, keep):
    path = truncated(write(tmp_path / kind, tones(), kind), keep)
    says(path, "cut short: [0-9,]+ bytes of its samples are missing")
    with pytest.raises(BadRecording, match="cut short"):
        wave.probe(path)


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("kind", ["pcm24.flac", "vorbis.ogg", "opus.ogg", "layer3.mp3"])
def test_truncated_compressed_file(tmp_path, kind, keep):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 480_000)).astype(np.float32)
    says(truncated(write(tmp_path / kind, noise, kind), keep), "cut short|can't be decoded")


def test_every_real_ogg_is_complete(shared):
    for path in sorted((shared / "data" / "esc10").glob("*/*.ogg")):
        assert wave.probe(path).num_samples > 0


def test_streamed_wav_of_unknown_length_is_read(tmp_path):
    path = write(tmp_path / "a.wav", tones())
    data = bytearray(path.read_bytes())
    position = data.index(b"data") + 4
    data[position : position + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)
    assert wave.read(path)[0].shape == (2, 48_000)


def test_chunk_after_the_samples_is_no_truncation(tmp_path):
    path = write(tmp_path / "a.wav", tones())
    with path.open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert wave.read(path)[0].shape == (2, 48_000)


def test_missing_file(tmp_path):
    says(tmp_path / "none.wav", "No such file")


def test_folder(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    says(tmp_path / "folder.wav", "can't be opened|no audio file|empty")


def test_empty_file(tmp_path):
    (tmp_path / "a.wav").touch()
    says(tmp_path / "a.wav", "empty")


@pytest.mark.parametrize("text", [b"not audio\n" * 100, b"RIFF", b"OggS" + bytes(50), b"\0" * 999])
def test_text_named_wav(tmp_path, text):
    (tmp_path / "a.wav").write_bytes(text)
    says(tmp_path / "a.wav", "no audio file|cut short")


@pytest.mark.parametrize("kind", ["pcm24.wav", "pcm24.flac"])
def test_zero_length_audio(tmp_path, kind):
    says(write(tmp_path / kind, tones(0), kind), "no samples|empty")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, value):
    samples = tones()
    samples[1, 7] = value
    path = write(tmp_path / "a.wav", samples, "float.wav")
    says(path, "1 of 96,000 samples are NaN or infinite")


def test_opposite_infinities(tmp_path):
    samples = tones()
    samples[:, 7] = np.inf, -np.inf
    says(write(tmp_path / "a.wav", samples, "float.wav"), "2 of 96,000 samples are NaN or infinite")


def test_too_short_to_resample(tmp_path):
    path = write(tmp_path / "a.wav", tones(1))
    with pytest.raises(BadRecording, match="too short"):
        wave.read(path, 8_000)


def test_bad_recording_is_a_user_error_and_travels_between_processes(tmp_path):
    error = says(tmp_path / "none.wav", "No such file")
    assert isinstance(error, UserError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"RIFF", b"OggS", b"fLaC", b"ID3\x03"]))
def test_no_bytes_crash_the_reader(tmp_path_factory, data, magic):
    path = tmp_path_factory.getbasetemp() / "fuzz.wav"
    path.write_bytes(magic + data)
    try:
        samples, _ = wave.read(path)
    except BadRecording:
        return
    assert np.isfinite(samples).all()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_cut_wav_header_is_always_noticed(tmp_path_factory, data):
    buffer = io.BytesIO()
    soundfile.write(buffer, tones(100).T, 48_000, format="WAV", subtype="PCM_24")
    whole = buffer.getvalue()
    path = tmp_path_factory.getbasetemp() / "cut.wav"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(BadRecording):
        wave.read(path)


def test_channels_of_a_stereo_recording():
    samples = np.array([[1.0, 2.0], [3.0, -2.0]], np.float32)
    channels = wave.to_channels(samples, ("average", "left", "right"))
    np.testing.assert_array_equal(channels, [[2.0, 0.0], [1.0, 2.0], [3.0, -2.0]])
    assert channels.dtype == np.float32


def test_channels_of_a_mono_recording_are_alike():
    samples = tones(num_columns=1)
    channels = wave.to_channels(samples, tuple(wave.CHANNELS))
    for channel in channels:
        np.testing.assert_array_equal(channel, samples[0])


def test_channels_of_more_columns():
    samples = np.array([[1.0], [2.0], [6.0]], np.float32)
    np.testing.assert_array_equal(
        wave.to_channels(samples, ("left", "right", "average")), [[1.0], [2.0], [3.0]]
    )


def test_shares_of_columns():
    names = ("average", "left", "right")
    np.testing.assert_array_equal(wave.shares(names, 2), [[0.5, 0.5], [1, 0], [0, 1]])
    np.testing.assert_array_equal(wave.shares(names, 1), [[1], [1], [1]])


def test_unknown_channel_is_named():
    with pytest.raises(UserError, match=r"config\.channels: .*'lefft'; did you mean 'left'"):
        wave.to_channels(tones(), ("lefft",))
    with pytest.raises(UserError, match="at least one"):
        wave.to_channels(tones(), ())
