"""Windows of long recordings: rows of their own in the store, one decision together."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Int

from ascjax.audio.windows import MIN_TAIL_SHARE
from ascjax.data.dataset import Dataset
from ascjax.data.listing import Fold, Recording


def into_windows(
    dataset: Dataset, durations_s: Mapping[str, float], *, window_s: float, hop_s: float
) -> Dataset:
    """Returns a data set with each recording replaced by its windows, all in the same part.

    A window is named after its recording and start, ``park/a.wav#10``. Without a location a
    recording is a location of its own, so that a validation part never takes some of its windows.
    Windows begin at `starts`; a recording shorter than a window is one window.

    Args:
      dataset: recordings and their parts.
      durations_s: by recording name; one that is missing has no readable header.
      window_s: length of a window.
      hop_s: from the start of a window to that of the next.
    """
    recordings: list[Recording] = []
    windows_of: list[range] = []
    for recording in dataset.recordings:
        begun_s = starts(durations_s.get(recording.name, 0.0), window_s=window_s, hop_s=hop_s)
        windows_of.append(range(len(recordings), len(recordings) + len(begun_s)))
        recordings += [_window(recording, start_s) for start_s in begun_s]

    def windows(indices: Sequence[int]) -> tuple[int, ...]:
        return tuple(window for index in indices for window in windows_of[index])

    return dataclasses.replace(
        dataset,
        recordings=tuple(recordings),
        train=windows(dataset.train),
        test=windows(dataset.test),
        unknown=Fold(windows(dataset.unknown.train), windows(dataset.unknown.test)),
    )


def starts(length_s: float, *, window_s: float, hop_s: float) -> list[float]:
    """Returns where the windows of a recording begin, in seconds.

    Unless there are gaps between windows, what is left at the end gets one that ends there, if it
    is a tenth of a hop or more.
    """
    # Durations are known to the hundredth.
    count = 1 + max(0, int((length_s - window_s + 0.005) / hop_s))
    begun_s = [index * hop_s for index in range(count)]
    last_s = math.floor(100 * (length_s - window_s)) / 100
    if hop_s <= window_s and last_s - begun_s[-1] >= max(MIN_TAIL_SHARE * hop_s, 0.01):
        begun_s.append(last_s)
    return begun_s


def used_s(length_s: float, *, window_s: float, hop_s: float) -> float:
    """Returns how many seconds of a recording are in a window."""
    begun_s = starts(length_s, window_s=window_s, hop_s=hop_s)
    if hop_s > window_s:
        return min(length_s, len(begun_s) * window_s)
    return min(length_s, begun_s[-1] + window_s)


def _window(recording: Recording, start_s: float) -> Recording:
    return dataclasses.replace(
        recording,
        name=f"{recording.name}#{start_s:g}",
        location=recording.location or recording.name,
        whole=recording.name,
        start_s=start_s,
    )


def group(recordings: Sequence[Recording]) -> tuple[list[Recording], Int[np.ndarray, " window"]]:
    """Returns the first window of each recording, and for each window its recording's index."""
    index: dict[str, int] = {}
    firsts: list[Recording] = []
    groups: list[int] = []
    for recording in recordings:
        whole = recording.whole or recording.name
        if whole not in index:
            index[whole] = len(firsts)
            firsts.append(dataclasses.replace(recording, name=whole))
        groups.append(index[whole])
    return firsts, np.array(groups, np.int64)


def average(
    posteriors: Float32[np.ndarray, "window channel fragment scene"],
    groups: Int[np.ndarray, " window"],
) -> Float32[np.ndarray, "recording channel fragment scene"]:
    """Returns the mean posteriors of each recording's windows."""
    counts = np.bincount(groups)
    if (counts == 1).all():
        return posteriors
    total = np.zeros((len(counts), *posteriors.shape[1:]))
    np.add.at(total, groups, posteriors)
    return (total / counts[:, None, None, None]).astype(np.float32)
