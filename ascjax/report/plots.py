"""Figures of a run: numbers in, matplotlib figures out, to be saved in any format.

Figures are made as objects, with no pyplot and no change to matplotlib's settings, so that they can
be drawn in any process or thread. Colours stay apart for colour-blind readers and in grey: one-hue
or perceptually uniform maps for quantities, colours of Okabe and Ito for lines and bars.
"""

import io
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ascjax.audio import mel
from ascjax.report.text import label

BLUE, VERMILION, ORANGE, GREY = "#0072B2", "#D55E00", "#E69F00", "#6b7280"
# Widths in inches of figures over one column and over two of a paper, and their type in points.
COLUMNS_IN = {1: 3.4, 2: 7.0}
PAPER_TYPE, MIN_TYPE = 7.0, 4.5
FREQUENCY_TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)
# A mark at each epoch makes single ones visible; more of them run into a smear.
MAX_MARKED_EPOCHS = 40
# A fragments figure shows at most so many scenes, those with the largest posteriors.
MAX_SCENES_SHOWN = 10
MAX_NAME_LENGTH = 28


@dataclass(frozen=True)
class LogMel:
    """A log-mel to draw.

    Attributes:
      values: of one channel, natural logarithm of amplitudes; bands of Slaney's mel scale from 0 Hz
        to half the sample rate.
      hop_size_s: time from one frame to the next, in seconds.
      sample_rate_hz: of the waveform.
    """

    values: Float[np.ndarray, "mel frame"]
    hop_size_s: float
    sample_rate_hz: int


def encode(figure: Figure, suffix: str, *, dpi: int) -> bytes:
    """Returns a figure as the content of a file; the same figure gives the same bytes.

    Text stays text: the reader's fonts draw it in SVG, and also supply what matplotlib's lacks; PDF
    has its fonts embedded as TrueType.

    Args:
      figure: any.
      suffix: ``png``, ``svg`` or ``pdf``.
      dpi: pixels an inch, of PNG and of images within the others.
    """
    file = io.BytesIO()
    date = {"svg": "Date", "pdf": "CreationDate"}.get(suffix)
    with warnings.catch_warnings(), matplotlib.rc_context():
        matplotlib.rcParams.update(
            {"svg.fonttype": "none", "svg.hashsalt": "ascjax", "pdf.fonttype": 42}
        )
        if suffix == "svg":
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format=suffix, dpi=dpi, metadata={date: None} if date else None)
    return file.getvalue()


def _text(name: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """Returns a scene's name for an axis: short enough to leave it room, and no formula."""
    whole = label(name)
    short = whole if len(whole) <= max_length else whole[: max_length - 1] + "…"
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


def confusion(
    counts: Int[np.ndarray, "scene scene"],
    *,
    scenes: Collection[str],
    normalise: bool = True,
    columns: int | None = None,
) -> Figure:
    """The confusion matrix in the manner of the paper's Figure 4.

    Rows are true scenes, columns predicted ones; the darker a cell, the larger its share of the
    row's recordings. A cell without any is empty, a row without any hatched.

    Args:
      counts: recordings [true, predicted].
      scenes: names in that order.
      normalise: write that share in percent into the cells, else the count.
      columns: of a paper, 1 or 2; None for a page that has room for legible cells. Where numbers
        would be too small to read, a colour bar takes their place.
    """
    count, totals = len(scenes), counts.sum(axis=1)
    percent = 100 * counts / np.maximum(totals, 1)[:, None]
    numbers = percent if normalise else counts.astype(np.float64)
    names = [_text(scene) for scene in scenes]
    rows = names
    if normalise:
        rows = [f"{name} ({total:,})" for name, total in zip(names, totals, strict=True)]
    name_ems = 0.6 * max(map(len, rows))
    if columns is None:
        # From roomy cells for few scenes down to the smallest that hold "100" in legible type;
        # beside them room for the longest name.
        cell_in = float(np.clip(9 / count, 0.3, 0.9))
        name_size = float(np.clip(24 * cell_in, 8, 12))
        number_size = float(np.clip(22 * cell_in, 7, 12))
        title_size, names_in = 12.0, name_ems * name_size / 72
        width_in = max(cell_in * count + names_in + 0.8, 4.5)
    else:
        title_size, names_in = PAPER_TYPE, name_ems * PAPER_TYPE / 72
        width_in = COLUMNS_IN[columns]
        cell_in = min((width_in - names_in - 0.4) / count, 0.5)
        name_size = min(PAPER_TYPE, 0.8 * 72 * cell_in)
        number_size = min(PAPER_TYPE, 1.3 * 72 * cell_in / len(f"{numbers.max():.0f}"))
    height_in = cell_in * count + 0.8 * names_in + title_size / 12
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    if number_size < MIN_TYPE:
        _colour_bar(figure.colorbar(image, ax=ax, shrink=0.7), "%", name_size)
    else:
        for x, y in np.argwhere(counts.T).tolist():
            _number(ax, x, y, numbers[y, x], shade=percent[y, x], size=number_size)
    for empty in np.flatnonzero(totals == 0):
        ax.add_patch(
            Rectangle((-0.5, empty - 0.5), count, 1, hatch="///", fill=False, edgecolor="0.8", lw=0)
        )
    slant = {"rotation": 45} if count <= 20 else {"rotation": 90, "va": "center"}
    ax.set_xticks(range(count), names, ha="right", rotation_mode="anchor", **slant)
    ax.set_yticks(range(count), rows)
    ax.tick_params(labelsize=name_size, length=0)
    _cell_borders(ax, count)
    ax.set_xlabel("predicted scene", fontsize=title_size)
    ax.set_ylabel(
        "true scene (recordings)" if normalise and count > 3 else "true scene", fontsize=title_size
    )
    ax.set_title(
        "% of the true scene’s recordings" if normalise else "recordings",
        fontsize=min(title_size, 11), loc="left",
    )  # fmt: skip
    return figure


def _cell_borders(ax: Axes, count: int) -> None:
    ax.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="0.88", linewidth=0.6)
    ax.tick_params(which="minor", length=0)


def fragments(
    log_mel: LogMel,
    posteriors: Float[np.ndarray, "fragment scene"],
    scores: Float[np.ndarray, " scene"],
    *,
    scenes: Collection[str],
    true_scene: int,
) -> Figure:
    """A recording's log-mel and, under each of its fragments, the posterior of every scene.

    Args:
      log_mel: of one channel.
      posteriors: of that channel's fragments, 0..1. Fragment i begins at frame i × L, where
        L = floor(frames / fragments); frames left over after the last one are in none.
      scores: fused over all fragments and channels, 0..1; shown in a column of their own.
      scenes: names of the last axis. More than 10 are cut to the likeliest, the true and the
        predicted one.
      true_scene: index into ``scenes``.
    """
    shown = _scenes_shown(posteriors, scores, true_scene)
    height_in = 0.36 * len(shown)
    figure = Figure(figsize=(9, 3.4 + height_in), layout="constrained")
    (mel_ax, bar_ax), (cells_ax, fused_ax) = figure.subplots(
        2, 2, gridspec_kw={"height_ratios": [2.3, height_in], "width_ratios": [1, 0.09]}
    )
    num_frames = log_mel.values.shape[1] // len(posteriors)
    edges_s = np.arange(len(posteriors) + 1) * num_frames * log_mel.hop_size_s
    image = _spectrogram(mel_ax, log_mel, size=10)
    for edge in edges_s[1:]:
        mel_ax.axvline(edge, color="white", linewidth=1.2)
    mel_ax.set_ylabel("frequency / Hz", fontsize=11)
    mel_ax.tick_params(labelbottom=False)
    bar_ax.set_axis_off()
    _colour_bar(figure.colorbar(image, cax=bar_ax.inset_axes((0, 0, 0.3, 1))), "ln amplitude", 10)
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


def evidence(found: Mapping[str, Any], *, scenes: Sequence[str], columns: int) -> Figure:
    """What single fragments get right and, for confused pairs of scenes, what they vote for.

    Args:
      found: what `evidence.summarise` returned.
      scenes: names of the scenes.
      columns: of a paper, 1 or 2; each holds two panels side by side.
    """
    pairs = found["pairs"]
    num_panels = 1 + len(pairs)
    per_row = min(2 * columns, num_panels)
    num_rows = -(-num_panels // per_row)
    figure = Figure(figsize=(COLUMNS_IN[columns], 0.5 + 1.5 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, per_row, squeeze=False, sharey=True).flat
    _accuracies(axes[0], found)
    for ax, pair in zip(axes[1:], pairs, strict=False):
        _votes(ax, pair, scenes)
    for index, ax in enumerate(axes[:num_panels]):
        ax.set(xlim=(0.4, len(found["by_position"]) + 0.6), ylim=(0, 100))
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


def _accuracies(ax: Axes, found: Mapping[str, Any]) -> None:
    """The accuracy of each fragment beside those of all fused and of the oracle."""
    rates = 100 * np.array([part["accuracy"] for part in found["by_position"]])
    bounds = 100 * np.array([part["interval_95"] for part in found["by_position"]]).T
    oracle, fused = (100 * found[key]["accuracy"] for key in ("oracle", "fused"))
    ax.axhline(oracle, color=VERMILION, linestyle="--", label="oracle (any fragment right)")
    ax.axhline(fused, color=BLUE, label="all fused")
    ax.errorbar(
        np.arange(1, len(rates) + 1), rates, np.abs(bounds - rates),
        fmt="o", color="black", markersize=2.5, elinewidth=0.8,
        label="one fragment (95 % interval)",
    )  # fmt: skip
    ax.set_title("accuracy", fontsize=PAPER_TYPE)
    ax.set_ylabel("accuracy / %", fontsize=PAPER_TYPE)


def _votes(ax: Axes, pair: Mapping[str, Any], scenes: Sequence[str]) -> None:
    """Stacked bars of what each fragment of a confused pair's recordings votes for."""
    shares = 100 * np.array(pair["votes"])
    positions, bottom = np.arange(1, len(shares) + 1), np.zeros(len(shares))
    for kind, name, color in (
        (0, "votes: true scene", BLUE),
        (2, "votes: other scenes", "0.85"),
        (1, "votes: predicted scene", ORANGE),
    ):
        ax.bar(positions, shares[:, kind], 0.85, bottom, color=color, label=name)
        bottom += shares[:, kind]
    true, predicted = (_text(scenes[pair[kind]], 20) for kind in ("true", "predicted"))
    ax.set_title(f"{true}\n→ {predicted} ({pair['recordings']:,})", fontsize=PAPER_TYPE)


def _scenes_shown(posteriors: np.ndarray, scores: np.ndarray, true_scene: int) -> list[int]:
    """Indices in order of the scenes to show: the true, the predicted, then the likeliest."""
    weight = np.maximum(posteriors.max(axis=0), scores)
    weight[[true_scene, scores.argmax()]] = np.inf
    return sorted(np.argsort(-weight, kind="stable")[:MAX_SCENES_SHOWN].tolist())


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
        image = _spectrogram(ax, log_mel, size=PAPER_TYPE, low=low, high=high)
        ax.set_title(_text(title), fontsize=PAPER_TYPE)
        if index % per_row == 0:
            ax.set_ylabel("frequency / Hz", fontsize=PAPER_TYPE)
        if index + per_row >= len(log_mels):
            ax.set_xlabel("time / s", fontsize=PAPER_TYPE)
    for ax in axes.flat[len(log_mels) :]:
        ax.set_axis_off()
    _colour_bar(
        figure.colorbar(image, ax=axes, aspect=20 * num_rows, pad=0.02), "ln amplitude", PAPER_TYPE
    )
    return figure


def _spectrogram(
    ax: Axes, log_mel: LogMel, *, size: float, low: float | None = None, high: float | None = None
) -> AxesImage:
    """Draws a log-mel over seconds and mel-spaced Hz, in colours from ``low`` to ``high``."""
    mels, frames = log_mel.values.shape
    image = ax.imshow(
        log_mel.values, origin="lower", aspect="auto", cmap="magma", interpolation="nearest",
        extent=(0, frames * log_mel.hop_size_s, -0.5, mels - 0.5), vmin=low, vmax=high,
    )  # fmt: skip
    # Band i is centred at the frequency i + 1 of those that part the scale evenly.
    centres_hz = mel.frequencies(mels + 2, log_mel.sample_rate_hz / 2)[1:-1]
    ticks = [hz for hz in FREQUENCY_TICKS_HZ if centres_hz[0] <= hz <= centres_hz[-1]]
    ax.set_yticks(np.interp(ticks, centres_hz, np.arange(mels)), [f"{hz:,}" for hz in ticks])
    ax.tick_params(labelsize=size)
    return image


def _colour_bar(bar: Colorbar, name: str, size: float) -> None:
    bar.set_label(name, fontsize=size)
    bar.ax.tick_params(labelsize=size)
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
        shown = percent[row, column]
        _number(ax, middle, row + 0.5, shown, shade=shown, size=size)
    ax.set_ylim(len(cells), 0)
    ax.tick_params(labelsize=10, length=0)
    ax.spines[:].set_visible(False)


def _number(ax: Axes, x: float, y: float, number: float, *, shade: float, size: float) -> None:
    """Writes a number into a cell of the colour of ``shade`` percent."""
    color = "white" if shade > 55 else "black"
    ax.text(x, y, f"{number:.0f}", ha="center", va="center_baseline", fontsize=size, color=color)


def _marked(name: str, is_true: bool, is_predicted: bool) -> str:
    if is_true and is_predicted:
        return f"{name}  ✓ true, predicted"
    if is_true:
        return f"{name}  ← true"
    return f"{name}  ✗ predicted" if is_predicted else name
