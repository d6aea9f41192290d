"""The confusion matrix."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ascjax.report.plots.figure import (
    COLUMNS_IN,
    MIN_TYPE,
    PAPER_TYPE,
    axis_names,
    colour_bar,
    number,
)


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
    names = axis_names(scenes)
    rows = names
    if normalise:
        rows = [f"{name} ({total:,})" for name, total in zip(names, totals, strict=True)]
    name_ems = 0.6 * max(map(len, rows))
    if columns is None:
        layout = _for_page(count, name_ems)
    else:
        layout = _for_paper(count, name_ems, COLUMNS_IN[columns], digits=f"{numbers.max():.0f}")
    figure = Figure(figsize=layout.size_in(count), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    if layout.number_size < MIN_TYPE:
        colour_bar(figure.colorbar(image, ax=ax, shrink=0.7), "%", layout.name_size)
    else:
        for x, y in np.argwhere(counts.T).tolist():
            number(ax, x, y, numbers[y, x], shade=percent[y, x], size=layout.number_size)
    for empty in np.flatnonzero(totals == 0):
        ax.add_patch(
            Rectangle((-0.5, empty - 0.5), count, 1, hatch="///", fill=False, edgecolor="0.8", lw=0)
        )
    slant = {"rotation": 45} if count <= 20 else {"rotation": 90, "va": "center"}
    ax.set_xticks(range(count), names, ha="right", rotation_mode="anchor", **slant)
    ax.set_yticks(range(count), rows)
    ax.tick_params(labelsize=layout.name_size, length=0)
    _cell_borders(ax, count)
    ax.set_xlabel("predicted scene", fontsize=layout.title_size)
    counted = normalise and count > 3
    ax.set_ylabel(
        "true scene (recordings)" if counted else "true scene", fontsize=layout.title_size
    )
    unit = "% of the true scene’s recordings" if normalise else "recordings"
    ax.set_title(unit, fontsize=min(layout.title_size, 11), loc="left")
    return figure


@dataclass(frozen=True)
class _Layout:
    """Lengths in inches, and type in points."""

    width_in: float
    cell_in: float
    names_in: float
    name_size: float
    number_size: float
    title_size: float

    def size_in(self, count: int) -> tuple[float, float]:
        height_in = self.cell_in * count + 0.8 * self.names_in + self.title_size / 12
        return self.width_in, height_in


def _for_page(count: int, name_ems: float) -> _Layout:
    """From roomy cells for few scenes down to the smallest that hold "100" in legible type."""
    cell_in = float(np.clip(9 / count, 0.3, 0.9))
    name_size = float(np.clip(24 * cell_in, 8, 12))
    names_in = name_ems * name_size / 72
    width_in = max(cell_in * count + names_in + 0.8, 4.5)
    number_size = float(np.clip(22 * cell_in, 7, 12))
    return _Layout(width_in, cell_in, names_in, name_size, number_size, 12.0)


def _for_paper(count: int, name_ems: float, width_in: float, *, digits: str) -> _Layout:
    """Cells as large as the width leaves them."""
    names_in = name_ems * PAPER_TYPE / 72
    cell_in = min((width_in - names_in - 0.4) / count, 0.5)
    name_size = min(PAPER_TYPE, 0.8 * 72 * cell_in)
    number_size = min(PAPER_TYPE, 1.3 * 72 * cell_in / len(digits))
    return _Layout(width_in, cell_in, names_in, name_size, number_size, PAPER_TYPE)


def _cell_borders(ax: Axes, count: int) -> None:
    ax.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="0.88", linewidth=0.6)
    ax.tick_params(which="minor", length=0)
