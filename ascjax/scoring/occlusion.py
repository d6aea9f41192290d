"""Occlusion: which parts of a log-mel carried a decision.

M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
section 4.2: a part is hidden, and the score's loss says how much the decision owed to it.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float


def occlusion(
    score_fn: Callable[[np.ndarray], np.ndarray],
    log_mel: Float[np.ndarray, "channel mel frame"],
    fill: Float[np.ndarray, " mel"],
    *,
    bands: int = 8,
    slices: int = 12,
    batch_size: int = 16,
) -> Float[np.ndarray, "band slice"]:
    """Score lost when one part of a log-mel is replaced, for each part of a grid.

    A part is hidden in all channels at once. What replaces it is the mean of each mel band, which
    is 0 once normalised: the least unusual input, whereas silence would itself be a cue.

    Args:
      score_fn: log-mels [batch, channel, mel, frame] → the score [batch] of the scene in question,
        fused, 0..1. It is called with ``batch_size`` log-mels at a time, the last call padded.
      log_mel: of one recording.
      fill: the training part's mean of each mel band.
      bands, slices: parts along mel and frame, at most as many as there are of these. The network
        sees ``bands`` × ``slices`` + 1 recordings.
      batch_size: at least 1.

    Returns:
      float32 score of the whole minus that without the part, −1..1; positive where the part spoke
      for the scene. Parts are equally large up to one mel or frame.

    Raises:
      ValueError: a grid finer than the log-mel.

    Example:
      >>> import numpy as np
      >>> quiet = np.zeros((1, 4, 6))
      >>> quiet[:, 2:, :3] = 1.0  # a sound in the upper bands of the first half
      >>> loudness = lambda batch: batch.mean(axis=(1, 2, 3))
      >>> occlusion(loudness, quiet, np.zeros(4), bands=2, slices=2).tolist()
      [[0.0, 0.0], [0.25, 0.0]]
    """
    _, mels, frames = log_mel.shape
    if not (1 <= bands <= mels and 1 <= slices <= frames):
        raise ValueError(
            f"occlusion: expected a grid of 1..{mels} × 1..{frames}, got {bands} × {slices}"
        )
    band_edges = np.arange(bands + 1) * mels // bands
    slice_edges = np.arange(slices + 1) * frames // slices
    hidden = np.repeat(log_mel[None], bands * slices + 1, axis=0)
    for index in range(bands * slices):
        band, part = divmod(index, slices)
        rows = slice(band_edges[band], band_edges[band + 1])
        columns = slice(slice_edges[part], slice_edges[part + 1])
        hidden[index, :, rows, columns] = fill[rows, None]
    scores = _in_batches(score_fn, hidden, batch_size)
    return (scores[-1] - scores[:-1]).reshape(bands, slices).astype(np.float32)


def _in_batches(
    score_fn: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, batch_size: int
) -> np.ndarray:
    """Scores of all inputs; every call has ``batch_size``, so that one program is compiled."""
    scores = []
    for start in range(0, len(inputs), batch_size):
        batch = inputs[start : start + batch_size]
        missing = batch_size - len(batch)
        padded = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        scores.append(np.asarray(score_fn(padded), np.float64)[: len(batch)])
    return np.concatenate(scores)
