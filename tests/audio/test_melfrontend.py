import pytest
import scipy.fft

from ascjax.audio import melfrontend
from ascjax.audio.logmel import LogMel
from ascjax.errors import UserError


def test_lengths_of_the_paper():
    front_end = LogMel(48_000)
    assert (front_end.window_length, front_end.hop_length) == (2_227, 1_114)
    assert front_end.fft_length == 2_250
    assert front_end.num_frames(480_000) == 431


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("num_mels", 0, "above 0, got 0"),
        ("num_mels", 500, "bands hold no bin of an FFT of 2,250 samples"),
        ("window_size_s", -1.0, "above 0"),
        ("window_size_s", float("nan"), "above 0"),
        ("window_size_s", 1e-9, "1e-09 s at 48,000 Hz is less than 2 samples; take a longer"),
        ("window_size_s", float("inf"), "finite"),
        ("hop_size_s", 0.0, "above 0"),
        ("hop_size_s", 1e-9, "from 1 sample to a window"),
        ("hop_size_s", 0.05, "from 1 sample to a window"),
        ("window", "han", "did you mean 'hann'"),
        ("mel_norm", "area", "expected one of slaney, none"),
        ("min_fft_length", -1, "or more samples, got -1"),
        ("min_fft_length", 10**10, "at most 16,777,216, got 10,000,000,000"),
        ("num_mels", 10**9, "at most 10,000"),
        ("window_size_s", 1e300, "at most 60"),
        ("window_size_s", 1e305, "at most 60"),
    ],
)
def test_values_without_a_mel_spectrogram_are_refused(key, value, reason):
    with pytest.raises(UserError, match=rf"^{key}: .*{reason}"):
        LogMel(48_000, **{key: value})


def test_a_sample_rate_that_no_recording_has():
    with pytest.raises(UserError, match="sample_rate_hz: expected at most 1,000,000, got 10,000"):
        LogMel(10**10)


def test_fast_lengths_are_scipys():
    lengths = [*range(1, 300), 2_227, 40_001, 768_000]
    expected = [scipy.fft.next_fast_len(length, real=True) for length in lengths]
    assert [melfrontend.fast_length(length) for length in lengths] == expected
