"""A recording of any length with the scores of its stretches."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ascjax.report.plots.cuts import posterior_cells, scenes_shown
from ascjax.report.plots.figure import axis_names, colour_bar
from ascjax.report.plots.logmel import LogMel, draw_log_mel

# A longer log-mel is averaged to about so many frames: an image has no more pixels.
MAX_FRAMES = 1_200
# Widths in inches from which on names stand beside the cells; below they take the room above.
WIDE_IN = 6.0
# Numbers that would have to be smaller are left out.
MIN_NUMBER_PT = 6.0


def timeline(
    log_mel: LogMel,
    scores: Float[np.ndarray, "stretch scene"],
    edges_s: Float[np.ndarray, " edge"],
    unknown: Bool[np.ndarray, " stretch"],
    *,
    scenes: Sequence[str],
    width_in: float = 8.0,
) -> Figure:
    """A recording's log-mel and, under each stretch of it, the score of every scene.

    Args:
      log_mel: of one channel, the whole recording.
      scores: of stretches in order of time, 0..1.
      edges_s: [stretch + 1], where they begin and the last one ends.
      unknown: which of them have no answer; they are hatched.
      scenes: names of the last axis. More than 10 are cut to the likeliest.
      width_in: of the figure, in inches.
    """
    shown = scenes_shown(scores, scores.mean(axis=0), ())
    height_in = 0.3 * len(shown)
    figure = Figure(figsize=(width_in, 2.7 + height_in), layout="constrained")
    mel_ax, cells_ax = figure.subplots(2, gridspec_kw={"height_ratios": [2.0, height_in]})
    image = draw_log_mel(mel_ax, thinned(log_mel), size=10)
    is_wide = width_in >= WIDE_IN
    bar = figure.colorbar(
        image,
        ax=[mel_ax, cells_ax] if is_wide else mel_ax,
        location="right" if is_wide else "top",
        pad=0.02,
        fraction=0.05,
        aspect=30,
    )
    colour_bar(bar, log_mel.unit, 10)
    mel_ax.set_ylabel("frequency / Hz", fontsize=10)
    mel_ax.tick_params(labelbottom=False)
    column_pt = 72 * 0.6 * width_in / len(scores)
    size = min(10.0, column_pt / 2) if column_pt >= 2 * MIN_NUMBER_PT else 0.0
    posterior_cells(cells_ax, scores[:, shown].T, edges_s, size=size)
    for index in np.flatnonzero(unknown).tolist():
        cells_ax.axvspan(
            edges_s[index], edges_s[index + 1], facecolor="none", edgecolor="0.45", hatch="//",
            linewidth=0,
        )  # fmt: skip
    for ax in (mel_ax, cells_ax):
        ax.set_xlim(edges_s[0], edges_s[-1])
    cells_ax.xaxis.set_major_locator(MaxNLocator(8 if is_wide else 4))
    cells_ax.set_xlabel("time / s", fontsize=10)
    cells_ax.set_title("score / %", fontsize=10, loc="left")
    names = axis_names(scenes, 28 if is_wide else 16)
    cells_ax.set_yticks(np.arange(len(shown)) + 0.5, [names[index] for index in shown])
    return figure


def thinned(log_mel: LogMel) -> LogMel:
    """Returns a log-mel of at most about ``MAX_FRAMES`` frames, each the mean of some."""
    frames = log_mel.values.shape[1]
    group = -(-frames // MAX_FRAMES)
    starts = np.arange(0, frames, group)
    sums = np.add.reduceat(log_mel.values, starts, axis=1, dtype=np.float64)
    means = sums / np.diff(np.append(starts, frames))
    return LogMel(means, group * log_mel.hop_size_s, log_mel.sample_rate_hz, log_mel.unit)
