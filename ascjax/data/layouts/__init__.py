"""Dataset layouts: what lies on disk → recordings and folds. A layout is a file and a line here."""

from collections.abc import Mapping

from ascjax.data.layouts import (
    dcase2013,
    dcase2016,
    esc50,
    folders,
    parts,
    table,
    tut,
    urbansound8k,
)
from ascjax.data.layouts.layout import Layout, Request

__all__ = ["LAYOUTS", "Layout", "Request"]

# In the order in which they are tried: published sets by their own files, any folder last.
LAYOUTS: Mapping[str, Layout] = {
    "tut": tut.LAYOUT,
    "dcase2016": dcase2016.LAYOUT,
    "esc50": esc50.LAYOUT,
    "urbansound8k": urbansound8k.LAYOUT,
    "csv": table.LAYOUT,
    "dcase2013": dcase2013.LAYOUT,
    "parts": parts.LAYOUT,
    "folders": folders.LAYOUT,
}
