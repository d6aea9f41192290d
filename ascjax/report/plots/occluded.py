"""Which bands and times carried a decision: a map over the log-mel."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from ascjax.report.plots.figure import colour_bar
from ascjax.report.plots.logmel import LogMel, draw_log_mel, mel_axis


def occlusion(log_mel: LogMel, drops: Float[np.ndarray, "band slice"]) -> Figure:
    """A recording's log-mel and, below, what hiding each part of it takes from the score.

    Args:
      log_mel: of one channel.
      drops: see `scoring.occlusion.occlusion`, a difference of scores.
    """
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    colour_bar(
        figure.colorbar(draw_log_mel(axes[0], log_mel, size=10), ax=axes[0]), log_mel.unit, 10
    )
    mels, frames = log_mel.values.shape
    limit = 100 * max(float(np.abs(drops).max()), 1e-3)
    image = axes[1].imshow(
        100 * drops, origin="lower", aspect="auto", cmap="PuOr_r", vmin=-limit, vmax=limit,
        extent=(0, frames * log_mel.hop_size_s, -0.5, mels - 0.5), interpolation="nearest",
    )  # fmt: skip
    mel_axis(axes[1], log_mel, size=10)
    colour_bar(figure.colorbar(image, ax=axes[1]), "loss of score / points", 10)
    axes[1].set_xlabel("time / s", fontsize=11)
    for ax in axes:
        ax.set_ylabel("frequency / Hz", fontsize=11)
    return figure
