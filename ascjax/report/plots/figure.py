"""What all figures share: colours, sizes, names on axes, and their encoding as files.

Figures are made as objects, with no pyplot and no change to matplotlib's settings, so that they can
be drawn in any process or thread. Colours stay apart for colour-blind readers and in grey: one-hue
or perceptually uniform maps for quantities, colours of Okabe and Ito for lines and bars.
"""

import io
import threading
import warnings
from collections.abc import Collection

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

from ascjax.report.text import distinct, label

BLUE, VERMILION, ORANGE, GREY = "#0072B2", "#D55E00", "#E69F00", "#6b7280"
# Widths in inches of figures over one column and over two of a paper, and their type in points.
COLUMNS_IN = {1: 3.4, 2: 7.0}
PAPER_TYPE, MIN_TYPE = 7.0, 4.5
MAX_NAME_LENGTH = 28
_ENCODING = threading.Lock()


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
    # Settings and filters of warnings are those of all threads.
    date = {"svg": "Date", "pdf": "CreationDate"}.get(suffix)
    with _ENCODING, warnings.catch_warnings(), matplotlib.rc_context():
        matplotlib.rcParams.update(
            {"svg.fonttype": "none", "svg.hashsalt": "ascjax", "pdf.fonttype": 42}
        )
        if suffix == "svg":
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format=suffix, dpi=dpi, metadata={date: None} if date else None)
    return file.getvalue()


def axis_names(names: Collection[str], max_length: int = MAX_NAME_LENGTH) -> list[str]:
    """Returns names for an axis: short enough to leave it room, distinct, and no formulas."""
    short = distinct([label(name) for name in names], max_length)
    return [name.replace("$", r"\$") for name in short]


def number(ax: Axes, x: float, y: float, value: float, *, shade: float, size: float) -> None:
    """Writes a number into a cell of the colour of ``shade`` percent."""
    color = "white" if shade > 55 else "black"
    ax.text(x, y, f"{value:.0f}", ha="center", va="center_baseline", fontsize=size, color=color)


def colour_bar(bar: Colorbar, name: str, size: float) -> None:
    """Names a colour bar and sets its type."""
    bar.set_label(name, fontsize=size)
    bar.ax.tick_params(labelsize=size)
    bar.outline.set_visible(False)
