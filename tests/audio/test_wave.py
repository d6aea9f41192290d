import io
import os
import pickle
import re
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from audio_files import FORMATS, tones, truncated, write
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.audio import wave
from ascjax.audio.wave import BadRecording
from ascjax.errors import UserError


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
    "kind",
    [
        "pcm16.wav",
        "pcm24.wav",
        "float.wav",
        "extensible.wav",
        "rf64.wav",
        "pcm24.w64",
        "pcm16.aiff",
        "pcm16.caf",
        "pcm16.au",
    ],
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
    try:
        assert wave.probe(path).note, "cut by a header's length, which looks like a wrong header"
    except BadRecording:
        with pytest.raises(BadRecording):
            wave.read(path)


@pytest.mark.parametrize("value", [1e4, -1e29, 1e37])
def test_samples_far_beyond_full_scale(tmp_path, value):
    samples = tones()
    samples[1, 7] = value
    path = write(tmp_path / "a.wav", samples, "float.wav")
    shown = re.escape(f"{value:.3g}")
    says(path, f"1 of 96,000 samples lie beyond ±1,000, one at {shown}")


def test_float_samples_somewhat_beyond_full_scale_are_read(tmp_path):
    path = write(tmp_path / "a.wav", 400 * tones(), "float.wav")
    assert wave.read(path)[0].max() == pytest.approx(200, rel=1e-3)


def test_names_that_are_no_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.wav")
    whole = write(tmp_path / "a.wav", tones()).read_bytes()
    try:
        with open(path, "wb") as file:
            file.write(whole)
    except OSError:
        pytest.skip("the file system takes names in UTF-8 only")
    assert wave.read(path)[0].shape == (2, 48_000)
    with open(path, "wb") as file:
        file.write(whole[:1000])
    with pytest.raises(BadRecording, match=r"caf\\udce9\\n\.wav: cut short") as error:
        wave.read(path)
    str(error.value).encode()


@pytest.mark.parametrize("name", ["x" * 300, "a.wav/b.wav", "a\0b.wav", "\ud800.wav"])
def test_names_that_no_file_can_have(tmp_path, name):
    (tmp_path / "a.wav").touch()
    for reader in (wave.probe, wave.read):
        with pytest.raises(BadRecording, match="can't be opened"):
            reader(os.path.join(tmp_path, name))


def test_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    says(tmp_path / "a.wav", "can't be opened")


def test_companion_of_a_mac_beside_an_mp3(tmp_path):
    path = write(tmp_path / "a.mp3", tones(), "layer3.mp3")
    (tmp_path / "._a.mp3").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4000))
    assert wave.read(path)[0].shape == (2, 48_000)
    says(tmp_path / "._a.mp3", "AppleDouble")


def test_git_lfs_pointer(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    says(tmp_path / "a.wav", "git lfs pull")


def test_too_many_columns(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((500, 65), np.int16), 16_000)
    says(path, "65 columns; at most 64")
    soundfile.write(path, np.zeros((500, 64), np.int16), 16_000)
    assert wave.read(path)[0].shape == (64, 500)


@pytest.mark.parametrize("rate", [1, 999, 800_000])
def test_rates_out_of_range(tmp_path, rate):
    path = write(tmp_path / "a.wav", tones(), rate=rate)
    says(path, f"sample rate of {rate:,} Hz; 1,000 to 768,000 Hz are read")


def test_rates_asked_for_out_of_range(tmp_path):
    path = write(tmp_path / "a.wav", tones(), rate=1_000)
    with pytest.raises(UserError, match="expected 1,000 to 768,000 Hz, got 1"):
        wave.read(path, 1)
    with pytest.raises(BadRecording, match="from 1,000 to 768,000 Hz: at most by a factor of 100"):
        wave.read(path, 768_000)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rate", [None, 44_100, 8_000])
def test_a_part_equals_that_part_of_the_whole(tmp_path, kind, rate):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 144_000)).astype(np.float32)
    path = write(tmp_path / kind, noise, kind)
    whole, rate = wave.read(path, rate)
    for start_s, duration_s in ((0.0, 0.5), (1.23456, 0.7), (2.5, 60.0), (2.5, None)):
        part, _ = wave.read(path, rate, start_s=start_s, duration_s=duration_s)
        start = round(start_s * rate)
        end = None if duration_s is None else start + round(duration_s * rate)
        np.testing.assert_allclose(part, whole[:, start:end], atol=1e-6)


def test_nothing_after_the_start(tmp_path):
    path = write(tmp_path / "a.wav", tones())
    for rate in (48_000, 16_000):
        with pytest.raises(BadRecording, match="has nothing after 1 s"):
            wave.read(path, rate, start_s=1.0)
    for wrong in ({"start_s": -1.0}, {"start_s": np.nan}, {"duration_s": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            wave.read(path, **wrong)


def test_a_part_behind_the_end_of_a_file_that_was_cut_short(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 480_000)).astype(np.float32)
    for kind in ("pcm24.flac", "layer3.mp3"):
        path = truncated(write(tmp_path / kind, noise, kind), 0.5)
        assert wave.read(path, duration_s=1.0)[0].shape == (2, 48_000)
        with pytest.raises(BadRecording, match="cut short"):
            wave.read(path, start_s=8.0, duration_s=1.0)


@pytest.mark.parametrize("rate", [48_000, 16_000])
def test_a_part_of_a_long_recording_takes_memory_for_that_part(tmp_path, rate):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros((300 * 48_000, 1), np.int16), 48_000)
    tracemalloc.start()
    wave.read(path, rate, start_s=100.0, duration_s=1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6  # 1 s takes 0.2 MB, the whole 58 MB
