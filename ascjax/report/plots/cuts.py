"""A recording with the posteriors of its fragments."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ascjax.data.fragments import layout
from ascjax.report.plots.figure import BLUE, axis_names, colour_bar, number
from ascjax.report.plots.logmel import LogMel, draw_log_mel

# Of more scenes those with the largest posteriors are shown.
MAX_SCENES_SHOWN = 10


def fragments(
    log_mel: LogMel,
    posteriors: Float[np.ndarray, "fragment scene"],
    scores: Float[np.ndarray, " scene"],
    *,
    scenes: Collection[str],
    true_scene: int,
    overlap: float = 0.0,
) -> Figure:
    """A recording's log-mel and, under each of its fragments, the posterior of every scene.

    Args:
      log_mel: of one channel.
      posteriors: of that channel's fragments, 0..1.
      scores: fused over all fragments and channels, 0..1; shown in a column of their own, unless
        the posteriors of a single fragment say the same.
      scenes: names of the last axis. More than 10 are cut to the likeliest, the true and the
        predicted one.
      true_scene: index into ``scenes``.
      overlap: of fragments, see `fragments.layout`. Cells then meet halfway between the middles of
        neighbouring fragments; bars above the log-mel show their whole extent.
    """
    shown = scenes_shown(posteriors, scores, (true_scene, int(scores.argmax())))
    names, predicted = axis_names(scenes), int(scores.argmax())
    height_in = 0.36 * len(shown)
    figure = Figure(figsize=(9, 3.4 + height_in), layout="constrained")
    (mel_ax, bar_ax), (cells_ax, fused_ax) = figure.subplots(
        2, 2, gridspec_kw={"height_ratios": [2.3, height_in], "width_ratios": [1, 0.09]}
    )
    bar_ax.set_axis_off()
    image = draw_log_mel(mel_ax, log_mel, size=10)
    bar = figure.colorbar(image, cax=bar_ax.inset_axes((0, 0, 0.3, 1)))
    colour_bar(bar, log_mel.unit, 10)
    starts_s, ends_s = _draw_cuts(mel_ax, log_mel, len(posteriors), overlap)
    # Where fragments don't overlap these are their ends.
    edges_s = np.concatenate([starts_s[:1], (ends_s[:-1] + starts_s[1:]) / 2, ends_s[-1:]])
    posterior_cells(cells_ax, posteriors[:, shown].T, edges_s)
    cells_ax.set_xlim(mel_ax.get_xlim())
    cells_ax.set_xlabel("time / s", fontsize=11)
    cells_ax.set_title("posterior / %", fontsize=11, loc="left")
    cells_ax.set_yticks(
        np.arange(len(shown)) + 0.5,
        [_marked(names[k], k == true_scene, k == predicted) for k in shown],
    )
    for text, scene in zip(cells_ax.get_yticklabels(), shown, strict=True):
        text.set_fontweight("bold" if scene in (true_scene, predicted) else "normal")
    if len(posteriors) == 1 and np.allclose(posteriors[0], scores, atol=1e-6):
        fused_ax.set_axis_off()
    else:
        posterior_cells(fused_ax, scores[shown][:, None], np.array([0.0, 1.0]))
        fused_ax.set_xticks([0.5], ["fused"], fontsize=11)
        fused_ax.set_yticks([])
    return figure


def _draw_cuts(
    ax: Axes, log_mel: LogMel, count: int, overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draws where fragments begin and end; returns both, [fragment] in seconds."""
    width, first_frames = layout(log_mel.values.shape[1], count, overlap)
    starts_s = np.array(first_frames) * log_mel.hop_size_s
    ends_s = starts_s + width * log_mel.hop_size_s
    for edge in np.unique([starts_s[1:], ends_s[:-1], ends_s[1:]]):
        ax.axvline(edge, color="white", linewidth=1.2)
    if overlap > 0:
        _extents(ax, starts_s, ends_s)
    ax.set_ylabel("frequency / Hz", fontsize=11)
    ax.tick_params(labelbottom=False)
    return starts_s, ends_s


def _extents(ax: Axes, starts_s: np.ndarray, ends_s: np.ndarray) -> None:
    """Draws the extent of each fragment as a bar above the axes, neighbours on two levels."""
    for index, (start, end) in enumerate(zip(starts_s, ends_s, strict=True)):
        level = 1.02 + 0.03 * (index % 2)
        ax.plot(
            [start, end],
            [level, level],
            color=BLUE,
            linewidth=2.5,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
        )


def scenes_shown(posteriors: np.ndarray, scores: np.ndarray, always: Collection[int]) -> list[int]:
    """Indices in order of the scenes to show: those of ``always``, then the likeliest."""
    weight = np.maximum(posteriors.max(axis=0), scores)
    weight[list(always)] = np.inf
    return sorted(np.argsort(-weight, kind="stable")[:MAX_SCENES_SHOWN].tolist())


def posterior_cells(
    ax: Axes, cells: np.ndarray, edges: np.ndarray, *, size: float | None = None
) -> None:
    """Draws [scene, column], columns between ``edges``, as coloured cells with percentages.

    These are of ``size`` points, of what fits by default; of none if 0.
    """
    rows, percent = np.arange(len(cells) + 1), 100 * cells.astype(np.float64)
    ax.pcolormesh(
        edges, rows, percent, cmap="Blues", vmin=0, vmax=100, edgecolors="0.85", linewidth=0.6
    )
    if size is None:
        size = float(np.clip(110 / cells.shape[1], 5, 10))
    for row, column in np.argwhere(percent >= 0.5).tolist() if size > 0 else []:
        middle = (edges[column] + edges[column + 1]) / 2
        shown = percent[row, column]
        number(ax, middle, row + 0.5, shown, shade=shown, size=size)
    ax.set_ylim(len(cells), 0)
    ax.tick_params(labelsize=10, length=0)
    ax.spines[:].set_visible(False)


def _marked(name: str, is_true: bool, is_predicted: bool) -> str:
    if is_true and is_predicted:
        return f"{name}  ✓ true, predicted"
    if is_true:
        return f"{name}  ← true"
    return f"{name}  ✗ predicted" if is_predicted else name
