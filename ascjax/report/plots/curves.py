"""Learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ascjax.report.plots.figure import BLUE, GREY, VERMILION

# A mark at each epoch makes single ones visible; more of them run into a smear.
MAX_MARKED_EPOCHS = 40


def learning_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    chance: float | None = None,
    chosen_step: int | None = None,
) -> Figure:
    """Loss (nats) and accuracy (%) by epoch, of training and, where there is one, validation.

    Args:
      history: one entry an epoch with ``epoch``, ``step``, ``train/loss``, ``train/accuracy`` and
        optionally ``validation/loss`` and ``validation/accuracy``; accuracies in 0..1.
      chance: accuracy in 0..1 of guessing, drawn as a line.
      chosen_step: the step whose parameters were tested, drawn as a line at its epoch.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    chosen = [entry["epoch"] for entry in history if entry.get("step") == chosen_step]
    for ax, key, scale, unit in zip(
        axes, ("loss", "accuracy"), (1.0, 100.0), ("nats", "%"), strict=True
    ):
        _curve(ax, history, f"train/{key}", scale, color=BLUE, linestyle="-", label="training")
        _curve(
            ax,
            history,
            f"validation/{key}",
            scale,
            color=VERMILION,
            linestyle="--",
            label="validation",
        )
        for epoch in chosen:
            ax.axvline(epoch, color=GREY, linewidth=1, linestyle=":", label="tested")
        ax.set_xlabel("epoch", fontsize=11)
        ax.set_ylabel(f"{key} / {unit}", fontsize=11)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(color="0.9", linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=10)
    axes[0].axhline(0, color="none")  # 0 belongs to the axis, and the largest loss gets a margin
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylim(0, 100)
    if chance is not None:
        axes[1].axhline(100 * chance, color=GREY, linewidth=1, linestyle="-.", label="chance")
    axes[1].legend(fontsize=10, framealpha=0.9, edgecolor="none", loc="best")
    return figure


def _curve(
    ax: Axes, history: Sequence[Mapping[str, Any]], key: str, scale: float, **style: Any
) -> None:
    """Draws one value over the epochs that have it; nothing if none has."""
    points = [(entry["epoch"], scale * entry[key]) for entry in history if key in entry]
    if points:
        marker = "o" if len(points) <= MAX_MARKED_EPOCHS else None
        ax.plot(*zip(*points, strict=True), marker=marker, markersize=4, linewidth=1.8, **style)
