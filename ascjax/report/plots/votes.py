"""Which fragments decide (the paper's section 4.3)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ascjax.report.plots.figure import (
    BLUE,
    COLUMNS_IN,
    ORANGE,
    PAPER_TYPE,
    VERMILION,
    axis_names,
)
from ascjax.scoring.evidence import Confusion, Evidence


def evidence(found: Evidence, *, scenes: Sequence[str], columns: int) -> Figure:
    """What single fragments get right and, for confused pairs of scenes, what they vote for.

    Args:
      found: of a run with two or more fragments.
      scenes: names of the scenes.
      columns: of a paper, 1 or 2; each holds two panels side by side.
    """
    pairs, names = found.pairs, axis_names(scenes, 20)
    num_panels = 1 + len(pairs)
    per_row = min(2 * columns, num_panels)
    num_rows = -(-num_panels // per_row)
    figure = Figure(figsize=(COLUMNS_IN[columns], 0.5 + 1.5 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, per_row, squeeze=False, sharey=True).flat
    _accuracies(axes[0], found)
    for ax, pair in zip(axes[1:], pairs, strict=False):
        _votes(ax, pair, names)
    for index, ax in enumerate(axes[:num_panels]):
        ax.set(xlim=(0.4, len(found.by_position) + 0.6), ylim=(0, 100))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.tick_params(labelsize=PAPER_TYPE)
        ax.spines[["top", "right"]].set_visible(False)
        if index + per_row >= num_panels:
            ax.set_xlabel("fragment", fontsize=PAPER_TYPE)
    for ax in axes[per_row:num_panels:per_row]:
        ax.set_ylabel("votes / %", fontsize=PAPER_TYPE)
    for ax in axes[num_panels:]:
        ax.set_axis_off()
    handles = [handle for ax in axes[:2] for handle in ax.get_legend_handles_labels()[0]]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(2, num_panels),
        fontsize=PAPER_TYPE, frameon=False, handlelength=1.5, columnspacing=1,
    )  # fmt: skip
    return figure


def _accuracies(ax: Axes, found: Evidence) -> None:
    """The accuracy of each fragment beside those of all fused and of the oracle."""
    rates = 100 * np.array([part.accuracy for part in found.by_position])
    bounds = 100 * np.array([part.interval_95 for part in found.by_position]).T
    fused, oracle = found.fused.accuracy or 0.0, found.oracle.accuracy or 0.0
    ax.axhline(100 * oracle, color=VERMILION, linestyle="--", label="oracle (any fragment right)")
    ax.axhline(100 * fused, color=BLUE, label="all fused")
    ax.errorbar(
        np.arange(1, len(rates) + 1), rates, np.abs(bounds - rates),
        fmt="o", color="black", markersize=2.5, elinewidth=0.8,
        label="one fragment (95 % interval)",
    )  # fmt: skip
    ax.set_title("accuracy", fontsize=PAPER_TYPE)
    ax.set_ylabel("accuracy / %", fontsize=PAPER_TYPE)


def _votes(ax: Axes, pair: Confusion, names: Sequence[str]) -> None:
    """Stacked bars of what each fragment of a confused pair's recordings votes for."""
    shares = 100 * np.array(pair.votes)
    positions, bottom = np.arange(1, len(shares) + 1), np.zeros(len(shares))
    for kind, name, color in (
        (0, "votes: true scene", BLUE),
        (2, "votes: other scenes", "0.85"),
        (1, "votes: predicted scene", ORANGE),
    ):
        ax.bar(positions, shares[:, kind], 0.85, bottom, color=color, label=name)
        bottom += shares[:, kind]
    true, predicted = (names[index] for index in (pair.true, pair.predicted))
    ax.set_title(f"{true}\n→ {predicted} ({pair.recordings:,})", fontsize=PAPER_TYPE)
