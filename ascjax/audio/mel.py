"""Slaney's mel scale and bank of triangular filters (M. Slaney, Auditory Toolbox, 1998).

Equal to librosa's, which the tests compare with. Written out because importing librosa's filters
takes seconds in every worker process of the feature store.
"""

import numpy as np
from jaxtyping import Float

# Linear below 1 kHz, 200/3 Hz a mel; logarithmic above, a factor of 6.4 every 27 mels.
_LINEAR_HZ = 1000.0
_HZ_PER_MEL = 200 / 3
_LINEAR_MEL = _LINEAR_HZ / _HZ_PER_MEL
_RATIO_PER_MEL = np.log(6.4) / 27


def frequencies(count: int, highest_hz: float) -> Float[np.ndarray, " frequency"]:
    """Returns ``count`` frequencies in Hz from 0 to ``highest_hz``, equally spaced in mel."""
    highest = highest_hz / _HZ_PER_MEL
    if highest_hz >= _LINEAR_HZ:
        highest = _LINEAR_MEL + np.log(highest_hz / _LINEAR_HZ) / _RATIO_PER_MEL
    mels = np.linspace(0, highest, count)
    above = _LINEAR_HZ * np.exp(_RATIO_PER_MEL * (mels - _LINEAR_MEL))
    return np.where(mels < _LINEAR_MEL, _HZ_PER_MEL * mels, above)


def bank(
    num_mels: int, sample_rate_hz: float, fft_length: int, norm: str
) -> Float[np.ndarray, "mel bin"]:
    """Returns the weight of each FFT bin in each mel band, float32.

    Args:
      num_mels: bands, from 0 Hz to half the sample rate.
      sample_rate_hz: rate of the waveform, in Hz.
      fft_length: samples in an FFT.
      norm: ``slaney`` (triangles of area 1 over Hz; weights in 1/Hz) or ``none`` (of height 1).
    """
    edges = frequencies(num_mels + 2, sample_rate_hz / 2)
    bins = np.fft.rfftfreq(fft_length, 1 / sample_rate_hz)
    low, centre, high = (edges[i : i + num_mels, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    # Cast to float32 where librosa casts, so that the weights are bit-identical.
    weights = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return (weights * (2 / (high - low))).astype(np.float32) if norm == "slaney" else weights
