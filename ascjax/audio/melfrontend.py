"""Settings that front ends on a mel spectrogram share: windows, FFT and mel bands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ascjax.audio import mel
from ascjax.audio.frontend import FrontEnd
from ascjax.errors import UserError, choose

# Generalised cosine windows a − (1 − a) cos(2πn/N), by their a.
WINDOWS = {"hann": 0.5, "hamming": 0.54}
# As librosa calls them.
MEL_NORMS: Mapping[str, Any] = {"slaney": "slaney", "none": None}
CENTRINGS = ("none", "band")
# Beyond these one window, its FFT or the mel bank would fill the memory.
_MOST = {
    "sample_rate_hz": 10**6,
    "window_size_s": 60,
    "min_fft_length": 2**24,
    "num_mels": 10**4,
}


@dataclass(frozen=True)
class MelFrontEnd(FrontEnd):
    """A front end that begins with a mel spectrogram of amplitudes.

    That is: a centred short-time Fourier transform, the amplitude of each bin, and their sums in
    a Slaney mel bank (the paper's section 4.1).

    Attributes:
      sample_rate_hz: rate of the waveforms, in Hz.
      num_mels: mel bands, from 0 Hz to half the sample rate.
      window_size_s: length of a window in seconds, rounded to samples.
      hop_size_s: distance between windows in seconds, rounded to samples; at most a window.
      window: ``hann`` or ``hamming``, periodic.
      mel_norm: ``slaney`` (bands of equal area) or ``none`` (bands of equal height).
      min_fft_length: smallest FFT in samples; a longer window takes a longer one.
      centring: ``band`` subtracts each band's mean over all frames of a waveform: a microphone's
        frequency response, a constant in a log-mel, and the scene's mean spectrum with it;
        ``none`` keeps both.
    """

    num_mels: int = 128
    window_size_s: float = 0.0464
    hop_size_s: float = 0.0232
    window: str = "hann"
    mel_norm: str = "slaney"
    min_fft_length: int = 0
    centring: str = "none"

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("num_mels", "window_size_s", "hop_size_s")
        if self.min_fft_length < 0:
            raise UserError(
                "min_fft_length: expected 0 (as long as the window) or more samples, got "
                f"{self.min_fft_length}"
            )
        for name, most in _MOST.items():
            if getattr(self, name) > most:
                raise UserError(f"{name}: expected at most {most:,}, got {getattr(self, name):,}")
        choose("window", self.window, WINDOWS)
        choose("mel_norm", self.mel_norm, MEL_NORMS)
        choose("centring", self.centring, dict.fromkeys(CENTRINGS))
        _check_lengths(self)
        _check_bands(self)

    @property
    def window_length(self) -> int:
        """Samples in a window, 2,227 for the defaults at 48 kHz."""
        return round(self.window_size_s * self.sample_rate_hz)

    @property
    def hop_length(self) -> int:
        """Samples between the starts of windows, 1,114 for the defaults at 48 kHz."""
        return round(self.hop_size_s * self.sample_rate_hz)

    @property
    def fft_length(self) -> int:
        """Samples in an FFT, a product of 2s, 3s and 5s; 2,250 for the defaults at 48 kHz."""
        return fast_length(max(self.window_length, self.min_fft_length))

    def num_frames(self, num_samples: int) -> int:
        """Returns the number of centred windows: 431 for 10 s with the defaults at 48 kHz."""
        padded = num_samples + 2 * (self.fft_length // 2)
        return 1 + (padded - self.fft_length) // self.hop_length

    def centred(self, values: Float[Any, "*batch mel frame"]) -> Float[Any, "*batch mel frame"]:
        """Returns values less what ``centring`` subtracts; a subclass ends with it."""
        if self.centring == "none":
            return values
        return values - values.mean(axis=-1, keepdims=True)

    def reference_amplitude(
        self, wave: Float[np.ndarray, "*batch sample"]
    ) -> Float[np.ndarray, "*batch mel frame"]:
        """Returns librosa's mel spectrogram of amplitudes in float64."""
        import librosa

        return librosa.feature.melspectrogram(
            y=wave.astype(np.float64),
            sr=self.sample_rate_hz,
            n_fft=self.fft_length,
            hop_length=self.hop_length,
            win_length=self.window_length,
            window=self.window,
            center=True,
            pad_mode="constant",
            power=1.0,
            n_mels=self.num_mels,
            norm=MEL_NORMS[self.mel_norm],
        )


def fast_length(length: int) -> int:
    """Returns the smallest product of 2s, 3s and 5s that is at least ``length``.

    As ``scipy.fft.next_fast_len`` for real transforms; SciPy takes 0.3 s to import.
    """
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def _check_lengths(front_end: MelFrontEnd) -> None:
    """Raises unless a window has 2 samples and the hop between 1 sample and a window."""
    if front_end.window_length < 2:
        raise UserError(
            f"window_size_s: {front_end.window_size_s} s at {front_end.sample_rate_hz:,} Hz is "
            "less than 2 samples; take a longer window"
        )
    if not 1 <= front_end.hop_length <= front_end.window_length:
        raise UserError(
            f"hop_size_s: expected from 1 sample to a window ({front_end.window_size_s} s), so "
            f"that no sample is left out, got {front_end.hop_size_s} s"
        )


def _check_bands(front_end: MelFrontEnd) -> None:
    """Raises if a mel band is so narrow that it holds no bin of the FFT."""
    num_bins = front_end.fft_length // 2 + 1
    edges_hz = mel.frequencies(front_end.num_mels + 2, front_end.sample_rate_hz / 2)
    bins_hz = np.arange(num_bins) * front_end.sample_rate_hz / front_end.fft_length
    first = np.searchsorted(bins_hz, edges_hz[:-2], side="right")
    empty = first >= np.searchsorted(bins_hz, edges_hz[2:], side="left")
    if empty.any():
        raise UserError(
            f"num_mels: {int(empty.sum())} of {front_end.num_mels} bands hold no bin of an FFT of "
            f"{front_end.fft_length:,} samples; take fewer bands or a longer window"
        )
