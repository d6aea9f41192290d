"""Figures of a run: numbers in, matplotlib figures out, to be saved in any format.

Figures are made as objects, with no pyplot and no change to matplotlib's settings, so that they can
be drawn in any process or thread. Colours stay apart for colour-blind readers and in grey: one-hue
or perceptually uniform maps for quantities, blue and vermilion of Okabe and Ito for lines.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ascjax.table import label

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#6b7280"
# A mark at each epoch makes single ones visible; more of them run into a smear.
MAX_MARKED_EPOCHS = 40
# A fragments figure shows at most so many scenes, those with the largest posteriors.
MAX_SCENES_SHOWN = 10
MAX_NAME_LENGTH = 28


def _text(name: str) -> str:
    """Returns a scene's name for an axis: short enough to leave it room, and no formula."""
    whole = label(name)
    short = whole if len(whole) <= MAX_NAME_LENGTH else whole[: MAX_NAME_LENGTH - 1] + "…"
    return short.replace("$", r"\$")


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


def confusion(counts: Int[np.ndarray, "scene scene"], *, scenes: Collection[str]) -> Figure:
    """The confusion matrix in the manner of the paper's Figure 4.

    Rows are true scenes, columns predicted ones; a cell is the percentage of its row's recordings,
    empty where there are none. A row without recordings is hatched.

    Args:
      counts: recordings [true, predicted].
      scenes: names in that order.
    """
    count, totals = len(scenes), counts.sum(axis=1)
    percent = 100 * counts / np.maximum(totals, 1)[:, None]
    names = [_text(scene) for scene in scenes]
    rows = [f"{name} ({total:,})" for name, total in zip(names, totals, strict=True)]
    # From roomy cells for few scenes down to the smallest that hold "100" in legible type; beside
    # them room for the longest name.
    cell_in = float(np.clip(9 / count, 0.3, 0.9))
    name_size = float(np.clip(24 * cell_in, 8, 12))
    names_in = 0.6 * name_size / 72 * max(map(len, rows))
    side_in = cell_in * count
    width_in, height_in = max(side_in + names_in + 0.8, 4.5), side_in + 0.8 * names_in + 1
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    ax = figure.subplots()
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    cell_size = float(np.clip(22 * cell_in, 7, 12))
    for row, column in np.argwhere(counts).tolist():
        _percentage(ax, float(column), float(row), percent[row, column], size=cell_size)
    for empty in np.flatnonzero(totals == 0):
        ax.add_patch(
            Rectangle((-0.5, empty - 0.5), count, 1, hatch="///", fill=False, edgecolor="0.8", lw=0)
        )
    slant = {"rotation": 45} if count <= 20 else {"rotation": 90, "va": "center"}
    ax.set_xticks(range(count), names, ha="right", rotation_mode="anchor", **slant)
    ax.set_yticks(range(count), rows)
    ax.tick_params(labelsize=name_size, length=0)
    _cell_borders(ax, count)
    ax.set_xlabel("predicted scene", fontsize=12)
    ax.set_ylabel("true scene (recordings)" if count > 3 else "true scene", fontsize=12)
    ax.set_title("% of the true scene’s recordings", fontsize=11, loc="left")
    return figure


def _cell_borders(ax: Axes, count: int) -> None:
    ax.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="0.88", linewidth=0.6)
    ax.tick_params(which="minor", length=0)


def fragments(
    log_mel: Float[np.ndarray, "mel frame"],
    posteriors: Float[np.ndarray, "fragment scene"],
    scores: Float[np.ndarray, " scene"],
    *,
    scenes: Collection[str],
    true_scene: int,
    hop_size_s: float,
) -> Figure:
    """A recording's log-mel and, under each of its fragments, the posterior of every scene.

    Args:
      log_mel: of one channel, natural logarithm of amplitudes.
      posteriors: of that channel's fragments, 0..1. Fragment i begins at frame i × L, where
        L = floor(frames / fragments); frames left over after the last one are in none.
      scores: fused over all fragments and channels, 0..1; shown in a column of their own.
      scenes: names of the last axis. More than 10 are cut to the likeliest, the true and the
        predicted one.
      true_scene: index into ``scenes``.
      hop_size_s: time from one frame to the next, in seconds.
    """
    shown = _scenes_shown(posteriors, scores, true_scene)
    height_in = 0.36 * len(shown)
    figure = Figure(figsize=(9, 3.4 + height_in), layout="constrained")
    (mel_ax, bar_ax), (cells_ax, fused_ax) = figure.subplots(
        2, 2, gridspec_kw={"height_ratios": [2.3, height_in], "width_ratios": [1, 0.09]}
    )
    edges_s = np.arange(len(posteriors) + 1) * (log_mel.shape[1] // len(posteriors)) * hop_size_s
    _spectrogram(mel_ax, bar_ax, log_mel, edges_s, hop_size_s)
    _posterior_cells(cells_ax, posteriors[:, shown].T, edges_s)
    _posterior_cells(fused_ax, scores[shown][:, None], np.array([0.0, 1.0]))
    cells_ax.set_xlim(mel_ax.get_xlim())
    cells_ax.set_xlabel("time / s", fontsize=11)
    cells_ax.set_title("posterior / %", fontsize=11, loc="left")
    fused_ax.set_xticks([0.5], ["fused"], fontsize=11)
    fused_ax.set_yticks([])
    names, predicted = list(scenes), int(scores.argmax())
    cells_ax.set_yticks(
        np.arange(len(shown)) + 0.5,
        [_marked(_text(names[k]), k == true_scene, k == predicted) for k in shown],
    )
    for text, scene in zip(cells_ax.get_yticklabels(), shown, strict=True):
        text.set_fontweight("bold" if scene in (true_scene, predicted) else "normal")
    return figure


def _scenes_shown(posteriors: np.ndarray, scores: np.ndarray, true_scene: int) -> list[int]:
    """Indices in order of the scenes to show: the true, the predicted, then the likeliest."""
    weight = np.maximum(posteriors.max(axis=0), scores)
    weight[[true_scene, scores.argmax()]] = np.inf
    return sorted(np.argsort(-weight, kind="stable")[:MAX_SCENES_SHOWN].tolist())


def _spectrogram(
    ax: Axes, bar_ax: Axes, log_mel: np.ndarray, edges_s: np.ndarray, hop_size_s: float
) -> None:
    mels, frames = log_mel.shape
    image = ax.imshow(
        log_mel, origin="lower", aspect="auto", cmap="magma", interpolation="nearest",
        extent=(0, frames * hop_size_s, -0.5, mels - 0.5),
    )  # fmt: skip
    for edge in edges_s[1:]:
        ax.axvline(edge, color="white", linewidth=1.2)
    ax.set_ylabel("mel band", fontsize=11)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.tick_params(labelsize=10, labelbottom=False)
    bar_ax.set_axis_off()
    bar = ax.figure.colorbar(image, cax=bar_ax.inset_axes((0, 0, 0.3, 1)))
    bar.set_label("ln amplitude", fontsize=10)
    bar.outline.set_visible(False)


def _posterior_cells(ax: Axes, cells: np.ndarray, edges: np.ndarray) -> None:
    """Draws [scene, column], columns between ``edges``, as coloured cells with percentages."""
    rows, percent = np.arange(len(cells) + 1), 100 * cells.astype(np.float64)
    ax.pcolormesh(
        edges, rows, percent, cmap="Blues", vmin=0, vmax=100, edgecolors="0.85", linewidth=0.6
    )
    size = float(np.clip(110 / cells.shape[1], 5, 10))
    for row, column in np.argwhere(percent >= 0.5).tolist():
        middle = (edges[column] + edges[column + 1]) / 2
        _percentage(ax, middle, row + 0.5, percent[row, column], size=size)
    ax.set_ylim(len(cells), 0)
    ax.tick_params(labelsize=10, length=0)
    ax.spines[:].set_visible(False)


def _percentage(ax: Axes, x: float, y: float, percent: float, *, size: float) -> None:
    color = "white" if percent > 55 else "black"
    ax.text(x, y, f"{percent:.0f}", ha="center", va="center", fontsize=size, color=color)


def _marked(name: str, is_true: bool, is_predicted: bool) -> str:
    if is_true and is_predicted:
        return f"{name}  ✓ true, predicted"
    if is_true:
        return f"{name}  ← true"
    return f"{name}  ✗ predicted" if is_predicted else name
