import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascjax.audio import logmel, wave
from ascjax.audio.logmel import FrontEnd
from ascjax.errors import UserError

TOLERANCE = 1e-4


def noise(num_samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


def distance(samples, front_end):
    fast = logmel.log_mel(samples, front_end)
    reference = logmel.log_mel_librosa(samples, front_end)
    assert fast.shape == reference.shape
    assert fast.dtype == reference.dtype == np.float32
    return np.abs(np.asarray(fast) - reference).max()


def test_lengths_of_the_paper():
    front_end = FrontEnd(48_000)
    assert (front_end.window_length, front_end.hop_length) == (2_227, 1_114)
    assert front_end.fft_length == 2_250
    assert front_end.num_frames(480_000) == 431
    assert logmel.log_mel(noise(480_000), front_end).shape == (128, 431)


def test_window_and_mel_bank_of_the_dcase_baseline():
    front_end = FrontEnd(
        48_000, 40, 0.04, 0.02, window="hamming", mel_norm="none", min_fft_length=2_048
    )
    assert (front_end.window_length, front_end.hop_length) == (1_920, 960)
    assert front_end.fft_length == 2_048
    assert logmel.log_mel(noise(480_000), front_end).shape == (40, 501)
    assert distance(noise(48_000), front_end) < TOLERANCE


@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_agrees_with_librosa_on_binaural_clips(shared, rate):
    names = ("left", "right", "average")
    for path in sorted((shared / "data" / "binaural").glob("*.wav")):
        samples, _ = wave.read(path, rate)
        fast = logmel.log_mel(samples, FrontEnd(rate), wave.shares(names, 2))
        reference = logmel.log_mel_librosa(wave.to_channels(samples, names), FrontEnd(rate))
        assert np.abs(np.asarray(fast) - reference).max() < TOLERANCE, path


def quiet_and_loud():
    """Waveforms in which rounding errors of loud bands show in quiet ones, or would."""
    time_s = np.arange(24_000) / 48_000
    spectrum = np.fft.rfft(noise(24_000))
    spectrum[len(spectrum) // 3 :] = 0
    return {
        "a steady tone of full scale": np.sin(2 * np.pi * 1_000 * time_s),
        "noise cut off at 8 kHz": np.fft.irfft(spectrum),
        "a burst in digital silence": np.where(abs(time_s - 0.25) < 0.01, noise(24_000), 0),
        "the last 9 bits of 24, near the floor": np.round(512 * noise(24_000)) * 2.0**-23,
    }


@pytest.mark.parametrize("name", quiet_and_loud())
def test_agrees_with_librosa_on_quiet_and_loud(name):
    assert distance(quiet_and_loud()[name].astype(np.float32), FrontEnd(48_000)) < TOLERANCE


@pytest.mark.parametrize("num_columns", [1, 2, 3])
def test_channels_are_mixed_from_the_columns_as_the_waveform_is(num_columns):
    names = ("average", "right", "left")
    front_end = FrontEnd(48_000, 32)
    columns = np.stack([noise(9_600, seed) for seed in range(num_columns)])
    mixed = logmel.log_mel(columns, front_end, wave.shares(names, num_columns))
    assert mixed.shape == (3, 32, front_end.num_frames(9_600))
    reference = logmel.log_mel_librosa(wave.to_channels(columns, names), front_end)
    np.testing.assert_allclose(mixed, reference, atol=TOLERANCE)
    np.testing.assert_array_equal(mixed[2], logmel.log_mel(columns, front_end)[0])


@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_agrees_with_librosa_on_esc10(shared, rate):
    # Among them clips cut at 16 kHz by their codec, where float32 is off by 4e-3.
    paths = sorted((shared / "data" / "esc10").glob("*/*.ogg"))
    assert len(paths) == 400
    for path in paths[::16]:
        assert distance(wave.read(path, rate)[0], FrontEnd(rate)) < TOLERANCE, path


@pytest.mark.parametrize("num_samples", [44_101, 47_999, 31_337])
@pytest.mark.parametrize("rate", [48_000, 44_100, 22_050])
def test_agrees_with_librosa_at_odd_lengths(shared, rate, num_samples):
    samples, _ = wave.read(shared / "data" / "binaural" / "park.wav", rate)
    assert distance(samples[:, :num_samples], FrontEnd(rate)) < TOLERANCE


@pytest.mark.parametrize("fft_length", [2_025, 2_250, 3_375])
def test_agrees_with_librosa_at_odd_transforms(fft_length):
    front_end = FrontEnd(48_000, 64, 0.04, 0.02, min_fft_length=fft_length)
    assert front_end.fft_length == fft_length
    assert distance(noise(20_001), front_end) < TOLERANCE


@settings(max_examples=15, deadline=None)
@given(
    window_size_s=st.floats(0.005, 0.1),
    hop_share=st.floats(0.1, 1.0),
    num_samples=st.integers(4_800, 6_000),
    rate=st.sampled_from([44_100, 48_000]),
)
def test_agrees_with_librosa_for_any_setting(window_size_s, hop_share, num_samples, rate):
    front_end = FrontEnd(rate, 8, window_size_s, window_size_s * hop_share)
    samples = noise(num_samples)
    assert distance(samples, front_end) < TOLERANCE
    assert logmel.log_mel(samples, front_end).shape == (8, front_end.num_frames(num_samples))


def test_leading_axes_are_kept_and_independent():
    front_end = FrontEnd(48_000, 32)
    samples = np.stack([noise(9_600, seed) for seed in range(6)]).reshape(2, 3, 9_600)
    together = logmel.log_mel(samples, front_end)
    assert together.shape == (2, 3, 32, front_end.num_frames(9_600))
    np.testing.assert_array_equal(together[1, 2], logmel.log_mel(samples[1, 2], front_end))
    assert distance(samples, front_end) < TOLERANCE


@pytest.mark.parametrize("num_samples", [99 * 1_114, 240_000, 480_000, 480_001])
def test_is_the_same_however_many_threads_share_it(monkeypatch, num_samples):
    front_end = FrontEnd(48_000, 8)
    samples = np.stack([noise(num_samples), noise(num_samples, 1)])
    monkeypatch.setenv("NPROC", "1")
    alone = logmel.log_mel(samples, front_end)
    assert distance(samples, front_end) < TOLERANCE
    for threads in ("2", "3", "64", "0", "many"):
        monkeypatch.setenv("NPROC", threads)
        np.testing.assert_array_equal(logmel.log_mel(samples, front_end), alone)


@pytest.mark.parametrize("num_samples", [0, 1, 100, 9 * 23])
def test_short_waves_and_threads_with_nothing_to_do(monkeypatch, num_samples):
    front_end = FrontEnd(1_000, 8)
    assert front_end.fft_length % 2 == 0
    odd = FrontEnd(1_000, 8, window_size_s=0.045)
    assert odd.fft_length % 2 == 1
    monkeypatch.setattr(logmel, "_FRAMES_A_THREAD", 1)
    for each in (front_end, odd):
        monkeypatch.setenv("NPROC", "1")
        alone = logmel.log_mel(noise(num_samples), each)
        assert alone.shape == (8, each.num_frames(num_samples))
        monkeypatch.setenv("NPROC", "6")  # of ten frames five take two each
        np.testing.assert_array_equal(logmel.log_mel(noise(num_samples), each), alone)


def test_an_xla_without_its_options_is_served_too(monkeypatch):
    monkeypatch.setattr(logmel, "_OPTIONS", {"xla_cpu_of_another_version": ""})
    monkeypatch.setattr(logmel, "_compiled", logmel._compiled.__wrapped__)
    assert distance(noise(9_600), FrontEnd(48_000, 8)) < TOLERANCE


def test_silence_is_at_the_floor():
    front_end = FrontEnd(48_000, log_floor=1e-3)
    values = logmel.log_mel(np.zeros(9_600, np.float32), front_end)
    np.testing.assert_allclose(values, np.log(1e-3), rtol=1e-6)


def test_a_tone_is_loudest_in_its_band():
    front_end = FrontEnd(48_000)
    tone = np.sin(2 * np.pi * 1_000 * np.arange(48_000) / 48_000).astype(np.float32)
    middle = logmel.log_mel(tone, front_end)[:, 20]
    # Slaney's scale: 15 mels to 1 kHz, then 27 mels for each factor of 6.4.
    top_mel = 15 + 27 * np.log(24) / np.log(6.4)
    assert abs(np.argmax(middle) + 1 - 15 / top_mel * 129) <= 1
    # A half as loud tone is log 2 lower where the tone is.
    half = logmel.log_mel(tone / 2, front_end)[:, 20]
    peak = np.argmax(middle)
    assert middle[peak] - half[peak] == pytest.approx(np.log(2), abs=1e-5)


def test_leaves_the_precision_of_others_alone():
    logmel.log_mel(noise(9_600), FrontEnd(48_000, 32))
    assert jnp.zeros(1).dtype == np.float32
    assert not jax.config.jax_enable_x64


def test_settings_survive_json():
    front_end = FrontEnd(44_100, 64, log_floor=1e-4, window="hamming")
    assert FrontEnd(**json.loads(json.dumps(front_end.to_dict()))) == front_end


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("num_mels", 0, "above 0, got 0"),
        ("num_mels", 500, "bands hold no bin of an FFT of 2,250 samples"),
        ("window_size_s", -1.0, "above 0"),
        ("window_size_s", float("nan"), "above 0"),
        ("window_size_s", 1e-9, "less than 2 samples"),
        ("window_size_s", float("inf"), "finite"),
        ("hop_size_s", 0.0, "above 0"),
        ("hop_size_s", 1e-9, "from 1 sample to a window"),
        ("hop_size_s", 0.05, "from 1 sample to a window"),
        ("log_floor", 0.0, "above 0"),
        ("log_floor", -1e-5, "above 0"),
        ("window", "han", "did you mean 'hann'"),
        ("mel_norm", "area", "expected one of slaney, none"),
        ("min_fft_length", -1, "at least 0"),
    ],
)
def test_nonsense_is_named(key, value, reason):
    with pytest.raises(UserError, match=rf"config\.features\.{key}: .*{reason}"):
        FrontEnd(48_000, **{key: value})


def test_nonsense_rate_is_named():
    with pytest.raises(UserError, match=r"config\.data\.sample_rate_hz: .*above 0, got 0"):
        FrontEnd(0)
