"""How far scores can be trusted: reliability diagram and coverage–accuracy curve."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ascjax.report.plots.figure import BLUE, GREY, VERMILION
from ascjax.scoring.confidence import ReliabilityBin
from ascjax.scoring.selective import Answered, CoverageCurve


def reliability(before: Sequence[ReliabilityBin], after: Sequence[ReliabilityBin]) -> Figure:
    """Reliability diagram: accuracy (%) of bins of recordings over their mean score (%).

    Args:
      before: of the scores as fused.
      after: of the tempered scores, with Wilson's intervals.
    """
    figure = Figure(figsize=(4.4, 4.1), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="-.", label="ideal")
    for bins, color, marker, name in (
        (before, VERMILION, "s", "as fused"),
        (after, BLUE, "o", "calibrated"),
    ):
        ax.plot(
            [100 * each.confidence for each in bins],
            [100 * (each.correct.accuracy or 0.0) for each in bins],
            color=color, marker=marker, markersize=4.5, linewidth=1.2, label=name, clip_on=False,
        )  # fmt: skip
    for each in after:
        bounds = 100 * np.array(each.correct.interval_95)
        ax.plot([100 * each.confidence] * 2, bounds, color=BLUE, linewidth=0.9, alpha=0.6)
    ax.set(xlim=(0, 100), ylim=(0, 100.5), aspect="equal")
    _label(ax, "score of the decision / %", "accuracy / %")
    ax.legend(fontsize=10, framealpha=0.9, edgecolor="none", loc="upper left")
    return figure


def coverage(curve: CoverageCurve, kept: Mapping[float, Answered]) -> Figure:
    """Coverage–accuracy curve: accuracy (%) over the share of recordings answered (%).

    Its title has the area under the risk–coverage curve.

    Args:
      curve: of the tempered scores.
      kept: statistics at the run's thresholds, by the accuracy aimed at in 0..1.
    """
    figure = Figure(figsize=(4.6, 4.1), layout="constrained")
    ax = figure.subplots()
    # A step at each recording more that is answered.
    ax.step(100 * curve.coverage, 100 * curve.accuracy, where="post", color=BLUE, linewidth=1.6)
    answered = {aim: each for aim, each in kept.items() if each.correct.total}
    for aim, each in answered.items():
        point = (100 * each.coverage, 100 * (each.correct.accuracy or 0.0))
        ax.plot(*point, "o", color=VERMILION, markersize=6)
        ax.annotate(
            f"≥ {100 * aim:.3g} %", point, (-5, -12), textcoords="offset points", ha="right",
            fontsize=9.5, color=VERMILION,
        )  # fmt: skip
    lowest = 100 * float(curve.accuracy.min())
    ax.set(xlim=(0, 101), ylim=(max(0.0, lowest - max(8.0, 0.2 * (100 - lowest))), 100.5))
    _label(ax, "coverage: recordings answered / %", "accuracy of the answers / %")
    ax.set_title(f"area under risk–coverage: {curve.risk_area:.3f}", fontsize=10.5)
    return figure


def _label(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x, fontsize=11)
    ax.set_ylabel(y, fontsize=11)
    ax.tick_params(labelsize=10)
    ax.grid(color="0.9", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
