"""Channels: views of a recording, each a weighted sum of its columns."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from ascjax.errors import UserError, choose

# The share of each of a recording's columns in a channel, from the number of columns.
CHANNELS: Mapping[str, Callable[[int], np.ndarray]] = {
    "left": lambda columns: np.eye(columns)[0],
    "right": lambda columns: np.eye(columns)[min(1, columns - 1)],
    "average": lambda columns: np.full(columns, 1 / columns),
}


def shares(names: Sequence[str], num_columns: int) -> Float[np.ndarray, "channel column"]:
    """Returns the share of each column of a recording in each of the named channels.

    Of a mono recording, every channel is its one column. Of more than two columns, ``left`` is the
    first, ``right`` the second and ``average`` the mean over all of them.

    Args:
      names: channels in the order wanted, of ``left``, ``right`` and ``average``.
      num_columns: of the recording.

    Raises:
      UserError: no name, or one that is no channel.
    """
    if not names:
        raise UserError(f"channels: expected at least one of {', '.join(CHANNELS)}, got none")
    return np.stack([choose("channel", name, CHANNELS)(num_columns) for name in names])


def to_channels(
    wave: Float[np.ndarray, "column sample"], names: Sequence[str]
) -> Float[np.ndarray, "channel sample"]:
    """Makes the named views of a recording, float32: ``shares`` · ``wave``."""
    return (shares(names, len(wave)) @ wave).astype(np.float32)
