"""Lengths of files whose header says nothing, or something wrong."""

import os
import struct

import numpy as np
import pytest
import soundfile
from audio_files import tones, truncated, write

from ascjax.audio import wave
from ascjax.audio.wave import BadRecording

HEADER = 44  # bytes of a plain wav file before its samples


def plain_wav(path, num_samples=32_000):
    soundfile.write(path, tones(num_samples, 1)[0], 16_000, subtype="PCM_16")
    return path


def patched(path, position, data):
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)
    return path


def says_size(path, size):
    return patched(path, HEADER - 4, struct.pack("<I", size))


def check(path, num_samples, note):
    info = wave.probe(path)
    samples, _ = wave.read(path)
    assert info.num_samples == num_samples
    assert samples.shape == (info.num_columns, num_samples)
    assert note in info.note
    assert bool(info.note) == bool(note)
    return samples


@pytest.mark.parametrize(
    "size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000]
)
def test_wav_written_by_a_program_that_streams(tmp_path, size):
    path = plain_wav(tmp_path / "a.wav")
    truth, _ = wave.read(path)
    samples = check(says_size(path, size), 32_000, "no length")
    np.testing.assert_array_equal(samples, truth)


@pytest.mark.parametrize("excess", [1, 8, 36, 44, 1_000, 10**6])
def test_wav_that_counts_too_many_bytes_in_a_file_of_the_right_size(tmp_path, excess):
    path = says_size(plain_wav(tmp_path / "a.wav"), 64_000 + excess)
    check(path, 32_000, f"{64_000 + excess:,} bytes: all 64,000")


def test_wav_whose_sizes_both_have_the_header_in(tmp_path):
    path = says_size(plain_wav(tmp_path / "a.wav"), 64_044)
    patched(path, 4, struct.pack("<I", 64_080))
    check(path, 32_000, "64,044 bytes: all 64,000")


@pytest.mark.parametrize("missing", [2, 46, 1_000])
def test_wav_that_ends_before_both_its_sizes_is_cut_short(tmp_path, missing):
    path = plain_wav(tmp_path / "a.wav")
    os.truncate(path, HEADER + 64_000 - missing)
    for reader in (wave.probe, wave.read):
        with pytest.raises(BadRecording, match=f"cut short: {missing:,} bytes"):
            reader(path)


def test_wav_of_no_samples_before_another_chunk(tmp_path):
    path = plain_wav(tmp_path / "a.wav", 0)
    with path.open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(BadRecording, match="no samples"):
        wave.read(path)


@pytest.mark.parametrize("subtype", ["GSM610", "IMA_ADPCM", "MS_ADPCM", "NMS_ADPCM_32"])
def test_wav_of_speech_codecs(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, tones(16_000, 1)[0], 8_000, subtype=subtype)
    info = wave.probe(path)
    samples, _ = wave.read(path)
    assert samples.shape == (1, info.num_samples)
    assert 16_000 <= info.num_samples < 18_000  # whole blocks
    np.testing.assert_allclose(samples[0, :16_000], tones(16_000, 1)[0], atol=0.1)
    part, _ = wave.read(path, start_s=1.0, duration_s=0.5)
    np.testing.assert_array_equal(part, samples[:, 8_000:12_000])


@pytest.mark.parametrize("size", [0x7FFFF000, 0xFFFFFFFF, 2])
def test_wav_of_more_bytes_than_its_header_can_say(tmp_path, size):
    """2 GiB and 4 GiB, all but the ends a hole that takes no room on the disk."""
    num_bytes = (2**32 + 2) if size == 2 else 0x80000000 if size == 0x7FFFF000 else 2**32 + 100
    path = says_size(plain_wav(tmp_path / "a.wav"), size)
    with path.open("r+b") as file:
        try:
            file.truncate(HEADER + num_bytes)
        except OSError:
            pytest.skip("the file system has no files of 4 GiB")
        file.seek(-2, os.SEEK_END)
        file.write(struct.pack("<h", 2**14))
    info = wave.probe(path)
    assert info.num_samples == num_bytes // 2
    assert info.note
    tail, _ = wave.read(path, start_s=(info.num_samples - 4) / 16_000)
    np.testing.assert_array_equal(tail, [[0, 0, 0, 0.5]])


def flac(path, total, samples):
    """A FLAC whose header counts ``total`` samples; 0 stands for unknown."""
    soundfile.write(path, samples, 16_000)
    head = path.read_bytes()[18:26]
    packed = int.from_bytes(head, "big") & ~(2**36 - 1) | total
    patched(path, 26, bytes(16))  # the digest of the samples is unknown too
    return patched(path, 18, packed.to_bytes(8, "big"))


def test_flac_of_unknown_length(tmp_path):
    truth = tones(32_000, 1)
    samples = check(flac(tmp_path / "a.flac", 0, truth[0]), 32_000, "counted")
    np.testing.assert_allclose(samples, truth, atol=2**-15)
    part, _ = wave.read(tmp_path / "a.flac", start_s=1.0, duration_s=0.5)
    np.testing.assert_array_equal(part, samples[:, 16_000:24_000])


@pytest.mark.parametrize(
    ("total", "reason"),
    [(60 * 10**9, "60,000,000,000 samples, which its .* can't hold"), (40_000, "cut short")],
)
def test_flac_that_has_less_than_it_says(tmp_path, total, reason):
    path = flac(tmp_path / "a.flac", total, tones(32_000, 1)[0])
    for reader in (wave.probe, wave.read):
        with pytest.raises(BadRecording, match=reason):
            reader(path)


BIT_RATES = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]  # kbit/s, layer III


def mp3_frames(data):
    frames, at = [], 0
    while at < len(data):
        size = 144_000 * BIT_RATES[data[at + 2] >> 4] // 48_000 + (data[at + 2] >> 1 & 1)
        frames.append(data[at : at + size])
        at += size
    return frames


@pytest.mark.parametrize("loud_first", [True, False])
@pytest.mark.parametrize("tags", [(b"", b""), (b"ID3\3\0\0\0\0\0\x0a" + bytes(10), b"TAG" * 42)])
def test_mp3_of_variable_bit_rate_without_its_number_of_frames(tmp_path, loud_first, tags):
    loud = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000)
    quiet = np.zeros(96_000)
    samples = np.concatenate([loud, quiet] if loud_first else [quiet, loud])
    path = tmp_path / "a.mp3"
    soundfile.write(path, samples, 48_000, bitrate_mode="VARIABLE", compression_level=0.2)
    frames = mp3_frames(path.read_bytes())[1:]  # the first is the header
    assert len(set(map(len, frames))) > 3
    path.write_bytes(tags[0] + b"".join(frames) + tags[1].ljust(128)[: 128 if tags[1] else 0])
    read = check(path, 1_152 * len(frames), "counted")
    part, _ = wave.read(path, start_s=2.0, duration_s=0.5)
    np.testing.assert_array_equal(part, read[:, 96_000:120_000])


def test_mp3_cut_short_is_noticed_without_decoding_it(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 96_000)).astype(np.float32)
    path = truncated(write(tmp_path / "a.mp3", noise, "layer3.mp3"), 0.8)
    with pytest.raises(BadRecording, match="cut short"):
        wave.probe(path)


def test_ogg_of_several_streams(tmp_path):
    path = write(tmp_path / "a.ogg", tones(), "vorbis.ogg")
    data = path.read_bytes()
    number = data[14:18]
    other = bytes(byte ^ 0x55 for byte in number)
    path.write_bytes(data + data.replace(number, other))
    for read in (wave.probe, wave.read):
        with pytest.raises(BadRecording, match=r"a\.ogg: holds several Ogg streams, of which only"):
            read(path)


def test_an_au_file_of_unknown_length(tmp_path):
    path = patched(write(tmp_path / "a.au", tones(), "pcm16.au"), 8, b"\xff" * 4)
    assert wave.probe(path).num_samples == 48_000
