import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waves import assert_as_reference, noise, quiet_and_loud

from ascjax.audio import wave
from ascjax.audio.logmel import LogMel
from ascjax.errors import UserError

TOLERANCE = 1e-4


def test_window_and_mel_bank_of_the_dcase_baseline():
    front_end = LogMel(
        48_000, 40, 0.04, 0.02, window="hamming", mel_norm="none", min_fft_length=2_048
    )
    assert (front_end.window_length, front_end.hop_length) == (1_920, 960)
    assert front_end.fft_length == 2_048
    assert front_end(noise(480_000)).shape == (40, 501)
    assert_as_reference(front_end, noise(48_000), atol=TOLERANCE)


@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_agrees_with_librosa_on_binaural_clips(shared, rate):
    names = ("left", "right", "average")
    for path in sorted((shared / "data" / "binaural").glob("*.wav")):
        samples, _ = wave.read(path, rate)
        fast = LogMel(rate)(samples, wave.shares(names, 2))
        reference = LogMel(rate).reference(wave.to_channels(samples, names))
        assert np.abs(fast - reference).max() < TOLERANCE, path


@pytest.mark.parametrize("name", quiet_and_loud())
def test_agrees_with_librosa_on_quiet_and_loud(name):
    assert_as_reference(LogMel(48_000), quiet_and_loud()[name], atol=TOLERANCE)


def test_centring_takes_out_a_microphones_frequency_response():
    front_end = LogMel(16_000, 40, centring="band")
    samples = noise(32_000)
    assert_as_reference(front_end, samples, atol=TOLERANCE)
    assert np.abs(front_end(samples).mean(axis=-1)).max() < 1e-5
    other = np.convolve(samples, [1, -0.9])[:32_000].astype(np.float32)  # a high-pass
    apart = np.abs(LogMel(16_000, 40)(samples) - LogMel(16_000, 40)(other)).mean()
    assert np.abs(front_end(samples) - front_end(other)).mean() < 0.1 * apart
    with pytest.raises(UserError, match="centring: .*'bands'.*'band'"):
        LogMel(16_000, centring="bands")


@pytest.mark.parametrize("scale", [1e20, 1e30])
def test_agrees_with_librosa_on_samples_whose_power_overflows_float32(scale):
    samples = noise(9_600) * np.float32(scale)
    assert_as_reference(LogMel(48_000, 32), samples, atol=TOLERANCE)


def test_samples_too_loud_for_float32_are_refused():
    with pytest.raises(UserError, match="log_mel: the result is not finite: .* up to ±5e"):
        LogMel(48_000, 32)(noise(9_600) * np.float32(1e38))


@pytest.mark.parametrize("num_columns", [1, 2, 3])
def test_channels_are_mixed_from_the_columns_as_the_waveform_is(num_columns):
    names = ("average", "right", "left")
    front_end = LogMel(48_000, 32)
    columns = np.stack([noise(9_600, seed) for seed in range(num_columns)])
    mixed = front_end(columns, wave.shares(names, num_columns))
    assert mixed.shape == (3, 32, front_end.num_frames(9_600))
    reference = front_end.reference(wave.to_channels(columns, names))
    np.testing.assert_allclose(mixed, reference, atol=TOLERANCE)
    np.testing.assert_array_equal(mixed[2], front_end(columns)[0])


@pytest.mark.parametrize(("rate", "first"), [(48_000, 0), (44_100, 16)])
def test_agrees_with_librosa_on_esc10(shared, rate, first):
    # Among them clips cut off at 16 kHz by their codec, where float32 is off by 4e-3.
    paths = sorted((shared / "data" / "esc10").glob("*/*.ogg"))
    assert len(paths) == 400
    for path in paths[first::32]:
        assert_as_reference(LogMel(rate), wave.read(path, rate)[0], atol=TOLERANCE)


@pytest.mark.parametrize("num_samples", [44_101, 47_999, 31_337])
@pytest.mark.parametrize("rate", [48_000, 44_100, 22_050])
def test_agrees_with_librosa_at_odd_lengths(shared, rate, num_samples):
    samples, _ = wave.read(shared / "data" / "binaural" / "park.wav", rate)
    assert_as_reference(LogMel(rate), samples[:, :num_samples], atol=TOLERANCE)


@pytest.mark.parametrize("fft_length", [2_025, 2_250, 3_375])
def test_agrees_with_librosa_at_odd_transforms(fft_length):
    front_end = LogMel(48_000, 64, 0.04, 0.02, min_fft_length=fft_length)
    assert front_end.fft_length == fft_length
    assert_as_reference(front_end, noise(20_001), atol=TOLERANCE)


@settings(max_examples=15, deadline=None)
@given(
    window_size_s=st.floats(0.005, 0.1),
    hop_share=st.floats(0.1, 1.0),
    num_samples=st.integers(4_800, 6_000),
    rate=st.sampled_from([44_100, 48_000]),
)
def test_agrees_with_librosa_for_any_setting(window_size_s, hop_share, num_samples, rate):
    front_end = LogMel(rate, 8, window_size_s, window_size_s * hop_share)
    samples = noise(num_samples)
    assert_as_reference(front_end, samples, atol=TOLERANCE)
    assert front_end(samples).shape == (8, front_end.num_frames(num_samples))


def test_silence_is_at_the_floor():
    values = LogMel(48_000, log_floor=1e-3)(np.zeros(9_600, np.float32))
    np.testing.assert_allclose(values, np.log(1e-3), rtol=1e-6)


def test_a_tone_is_loudest_in_its_band():
    front_end = LogMel(48_000)
    tone = np.sin(2 * np.pi * 1_000 * np.arange(48_000) / 48_000).astype(np.float32)
    middle = front_end(tone)[:, 20]
    # Slaney's scale: 15 mels to 1 kHz, then 27 mels for each factor of 6.4.
    top_mel = 15 + 27 * np.log(24) / np.log(6.4)
    assert abs(np.argmax(middle) + 1 - 15 / top_mel * 129) <= 1
    # At half the amplitude its band is log 2 lower.
    half = front_end(tone / 2)[:, 20]
    peak = np.argmax(middle)
    assert middle[peak] - half[peak] == pytest.approx(np.log(2), abs=1e-5)


@pytest.mark.parametrize("log_floor", [0.0, -1e-5, float("nan")])
def test_a_floor_that_has_no_logarithm_is_refused(log_floor):
    with pytest.raises(UserError, match="^log_floor: expected a finite number above 0"):
        LogMel(48_000, log_floor=log_floor)
