import librosa
import numpy as np
import pytest

from ascjax.audio import mel


@pytest.mark.parametrize("highest_hz", [24_000, 22_050, 1_000, 800])
def test_frequencies_are_librosa_s(highest_hz):
    ours = mel.frequencies(130, highest_hz)
    np.testing.assert_allclose(ours, librosa.mel_frequencies(130, fmax=highest_hz), rtol=1e-12)


@pytest.mark.parametrize("norm", ["slaney", "none"])
@pytest.mark.parametrize(
    ("num_mels", "rate", "fft_length"), [(128, 48_000, 2_250), (40, 44_100, 2_048), (8, 1_600, 405)]
)
def test_the_bank_is_librosa_s(num_mels, rate, fft_length, norm):
    ours = mel.bank(num_mels, rate, fft_length, norm)
    theirs = librosa.filters.mel(
        sr=rate, n_fft=fft_length, n_mels=num_mels, norm=None if norm == "none" else norm
    )
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)
