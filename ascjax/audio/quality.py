"""Quality of a waveform: its level, silence and clipping."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# dB below full scale. Digital noise of 16 bits lies at −98, a quiet room recorded well above −70.
SILENCE_DB = -70.0

# One step of 15 bits below 1, so that both ends of 16-bit samples count; a tone of full scale has
# fewer than three samples in a row there above 100 Hz.
FULL_SCALE = 1 - 2.0**-14
CLIPPED_RUN = 3


@dataclass(frozen=True)
class Quality:
    """Level, silence and clipping of a waveform with a waveform.

    Attributes:
      peak: the largest absolute sample, 1 at full scale.
      rms_db: root mean square about each column's mean, in dB of full scale; −inf where nothing
        varies.
      clipped_share: share, 0..1, of the samples that lie at full scale in runs of at least
        ``CLIPPED_RUN``.
      silent: whether ``rms_db`` is below ``SILENCE_DB``.
      constant: whether no column varies at all.
    """

    peak: float
    rms_db: float
    clipped_share: float
    silent: bool
    constant: bool


def quality(samples: Float[np.ndarray, "column sample"]) -> Quality:
    """Measures a waveform of finite samples, at least one a column, full scale at ±1."""
    rms_db = level_db(samples)
    return Quality(
        peak=float(np.abs(samples).max()),
        rms_db=rms_db,
        clipped_share=float(_clipped(samples).mean()),
        silent=rms_db < SILENCE_DB,
        constant=_constant(samples),
    )


def level_db(samples: Float[np.ndarray, "column sample"]) -> float:
    """Returns ``Quality.rms_db`` alone."""
    means = samples.mean(axis=1, keepdims=True, dtype=np.float64)
    power = float(np.square(samples - means).mean())
    return -math.inf if power == 0 or _constant(samples) else 10 * math.log10(power)


def _constant(samples: np.ndarray) -> bool:
    return bool((samples == samples[:, :1]).all())


def _clipped(samples: Float[np.ndarray, "column sample"]) -> np.ndarray:
    """Returns bool [column, sample]: whether a sample is part of a run at full scale."""
    clipped = np.zeros(samples.shape, bool)
    length = samples.shape[1] - CLIPPED_RUN + 1
    if length < 1:
        return clipped
    for sign in (1, -1):
        at = sign * samples >= FULL_SCALE
        runs = np.logical_and.reduce([at[:, k : k + length] for k in range(CLIPPED_RUN)])
        for k in range(CLIPPED_RUN):
            clipped[:, k : k + length] |= runs
    return clipped
