"""Per-band mean and deviation of log-mels."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float


def mel_statistics(
    log_mel: np.ndarray, rows: Sequence[int] | np.ndarray, *, rows_at_once: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each mel band over the given recordings.

    Args:
      log_mel: [recording, channel, mel, frame]; read in pieces, so memory stays flat.
      rows: indices of recordings.
      rows_at_once: recordings in one piece.

    Returns:
      mean and deviation, float32 [mel]; a band that never changes has deviation 1.
    """
    total = np.zeros(log_mel.shape[2])
    squares = np.zeros_like(total)
    rows = np.sort(np.asarray(rows))
    for start in range(0, len(rows), rows_at_once):
        piece = np.asarray(log_mel[rows[start : start + rows_at_once]], np.float64)
        total += piece.sum(axis=(0, 1, 3))
        squares += np.square(piece).sum(axis=(0, 1, 3))
    count = len(rows) * log_mel.shape[1] * log_mel.shape[3]
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    deviation[deviation < 1e-6] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def normalise(
    log_mel: Float[Array, "batch mel frame 1"],
    mean: Float[Array | np.ndarray, " mel"],
    deviation: Float[Array | np.ndarray, " mel"],
) -> Float[Array, "batch mel frame 1"]:
    """Returns log-mels with each band's mean taken away and divided by its deviation."""
    return (log_mel - mean[None, :, None, None]) / deviation[None, :, None, None]
