"""Log-mels: one beneath other panels, or several side by side as in the paper's Figure 3."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ascjax.audio import mel
from ascjax.audio.frontend import FrontEnd
from ascjax.report.plots.figure import COLUMNS_IN, PAPER_TYPE, axis_names, colour_bar

FREQUENCY_TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)


def unit(front_end: FrontEnd) -> str:
    """Returns the unit of a front end's values, or its name."""
    return "ln amplitude" if front_end.name == "log_mel" else front_end.name


@dataclass(frozen=True)
class LogMel:
    """A log-mel to draw.

    Attributes:
      values: of one channel; bands of Slaney's mel scale from 0 Hz to half the sample rate.
      hop_size_s: time from one frame to the next, in seconds.
      sample_rate_hz: of the waveform.
      unit: of the values.
    """

    values: Float[np.ndarray, "mel frame"]
    hop_size_s: float
    sample_rate_hz: int
    unit: str = "ln amplitude"


def spectrograms(log_mels: Sequence[LogMel], *, titles: Sequence[str], columns: int) -> Figure:
    """Log-mels of recordings, as in the paper's Figure 3, with one colour bar for all.

    Args:
      log_mels: one or more; their rates and lengths may differ.
      titles: one for each.
      columns: of a paper, 1 or 2; each holds one log-mel, the next stand below.
    """
    per_row = min(columns, len(log_mels))
    num_rows = -(-len(log_mels) // per_row)
    figure = Figure(figsize=(COLUMNS_IN[columns], 0.25 + 1.4 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, per_row, squeeze=False)
    low = min(float(each.values.min()) for each in log_mels)
    high = max(float(each.values.max()) for each in log_mels)
    for index, (log_mel, title) in enumerate(zip(log_mels, titles, strict=True)):
        ax = axes.flat[index]
        image = draw_log_mel(ax, log_mel, size=PAPER_TYPE, low=low, high=high)
        ax.set_title(axis_names([title])[0], fontsize=PAPER_TYPE)
        if index % per_row == 0:
            ax.set_ylabel("frequency / Hz", fontsize=PAPER_TYPE)
        if index + per_row >= len(log_mels):
            ax.set_xlabel("time / s", fontsize=PAPER_TYPE)
    for ax in axes.flat[len(log_mels) :]:
        ax.set_axis_off()
    colour_bar(
        figure.colorbar(image, ax=axes, aspect=20 * num_rows, pad=0.02),
        log_mels[0].unit,
        PAPER_TYPE,
    )
    return figure


def draw_log_mel(
    ax: Axes, log_mel: LogMel, *, size: float, low: float | None = None, high: float | None = None
) -> AxesImage:
    """Draws a log-mel over seconds and mel-spaced Hz, in colours from ``low`` to ``high``."""
    mels, frames = log_mel.values.shape
    image = ax.imshow(
        log_mel.values, origin="lower", aspect="auto", cmap="magma", interpolation="nearest",
        extent=(0, frames * log_mel.hop_size_s, -0.5, mels - 0.5), vmin=low, vmax=high,
    )  # fmt: skip
    mel_axis(ax, log_mel, size=size)
    return image


def mel_axis(ax: Axes, log_mel: LogMel, *, size: float) -> None:
    """Ticks at frequencies in Hz on an axis whose unit is the mel band."""
    mels = len(log_mel.values)
    # Band i is centred at the frequency i + 1 of those that part the scale evenly.
    centres_hz = mel.frequencies(mels + 2, log_mel.sample_rate_hz / 2)[1:-1]
    ticks = [hz for hz in FREQUENCY_TICKS_HZ if centres_hz[0] <= hz <= centres_hz[-1]]
    ax.set_yticks(np.interp(ticks, centres_hz, np.arange(mels)), [f"{hz:,}" for hz in ticks])
    ax.tick_params(labelsize=size)
