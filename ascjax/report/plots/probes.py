"""Accuracy of linear probes by block."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ascjax.report.plots.figure import BLUE, COLUMNS_IN, GREY, PAPER_TYPE, VERMILION, axis_names
from ascjax.scoring.metrics import FoldSummary


def probes(
    blocks: Sequence[str], summaries: Mapping[str, Sequence[FoldSummary]], *, chance: float
) -> Figure:
    """Accuracy (%) of a probe on each block, with 95 % intervals, a line for each start.

    Args:
      blocks: their names, from the input on.
      summaries: by the name of the start, one for each block.
      chance: accuracy in 0..1 of guessing.
    """
    figure = Figure(figsize=(COLUMNS_IN[1], 2.5), layout="constrained")
    ax = figure.subplots()
    places, shift = np.arange(len(blocks)), 0.06
    for index, (start, probed) in enumerate(summaries.items()):
        percent = 100 * np.array([each.accuracy.accuracy for each in probed])
        bounds = 100 * np.array([each.interval_95 for each in probed])
        ax.errorbar(
            places + shift * (2 * index - len(summaries) + 1),
            percent,
            yerr=np.abs(bounds.T - percent),
            color=(BLUE, VERMILION)[index % 2],
            marker="os"[index % 2],
            markersize=3.5,
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            label=f"{start} weights",
        )
    ax.axhline(100 * chance, color=GREY, linewidth=0.8, linestyle="-.", label="chance")
    ax.set_ylim(0, 100)
    ax.set_xticks(places, axis_names(blocks))
    ax.set_ylabel("accuracy / %", fontsize=PAPER_TYPE + 1)
    ax.tick_params(labelsize=PAPER_TYPE)
    ax.grid(color="0.9", linewidth=0.6, axis="y")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=PAPER_TYPE, framealpha=0.9, edgecolor="none", loc="lower right")
    return figure
