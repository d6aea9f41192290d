"""Figures as images that live in a page."""

import base64
from dataclasses import dataclass

from matplotlib.figure import Figure

from ascjax.report import plots


@dataclass(frozen=True)
class Image:
    """A figure in a page: its data URI, a description, and its width in CSS pixels."""

    src: str
    alt: str
    width: int

    @classmethod
    def of(cls, figure: Figure, description: str) -> "Image":
        """Returns a figure as SVG within the page."""
        data = base64.b64encode(plots.encode(figure, "svg", dpi=100)).decode("ascii")
        return cls(
            f"data:image/svg+xml;base64,{data}", description, round(96 * figure.get_figwidth())
        )
