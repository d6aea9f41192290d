"""Per-band mean and deviation of log-mels."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

# A band's deviation is at least this share of the median band's. Were a band silent in 319 of 320
# recordings, its own deviation might be 0.14 nat and an ordinary recording lie 42 deviations out;
# with 3.2 nat in the median band it lies 7 out. Relative, as front ends differ in scale. The
# narrowest band of ESC-10 has 0.34 of its median: ordinary sets are left as they are.
_MIN_SHARE_OF_MEDIAN = 0.25


def mel_statistics(
    log_mel: np.ndarray, indices: Sequence[int] | np.ndarray, *, recordings_at_once: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the deviation by which each mel band is normalised.

    Args:
      log_mel: [recording, channel, mel, frame]; read in pieces, so memory stays flat.
      indices: the recordings to count, indices into ``log_mel``.
      recordings_at_once: recordings in one piece.

    Returns:
      mean and deviation, float32 [mel]. The deviation is the standard deviation, but at least a
      quarter of the median over the bands that change at all, and 1 where no band changes.
    """
    total = np.zeros(log_mel.shape[2])
    squares = np.zeros_like(total)
    indices = np.sort(np.asarray(indices))
    for start in range(0, len(indices), recordings_at_once):
        piece = np.asarray(log_mel[indices[start : start + recordings_at_once]], np.float64)
        total += piece.sum(axis=(0, 1, 3))
        squares += np.square(piece).sum(axis=(0, 1, 3))
    count = len(indices) * log_mel.shape[1] * log_mel.shape[3]
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return mean.astype(np.float32), _with_floor(deviation).astype(np.float32)


def _with_floor(deviation: Float[np.ndarray, " mel"]) -> Float[np.ndarray, " mel"]:
    changing = deviation[deviation >= 1e-6]  # below is rounding
    if not len(changing):
        return np.ones_like(deviation)
    return np.maximum(deviation, _MIN_SHARE_OF_MEDIAN * np.median(changing))


def normalise(
    log_mel: Float[Array, "batch mel frame 1"],
    mean: Float[Array | np.ndarray, " mel"],
    deviation: Float[Array | np.ndarray, " mel"],
) -> Float[Array, "batch mel frame 1"]:
    """Returns log-mels less each band's mean, over its deviation."""
    return (log_mel - mean[None, :, None, None]) / deviation[None, :, None, None]
