"""The interface of dataset layouts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ascjax.data.listing import Listing


@dataclass(frozen=True)
class Request:
    """Options of a layout's reader.

    Attributes:
      split: a named subset that the set publishes, e.g. ``split5``; empty for the whole.
      columns: a table's column by role (``path``, ``scene``, …) where its header can't be guessed.
    """

    split: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """How sets of one kind lie on disk.

    Attributes:
      form: the layout in a line, for messages and documentation.
      detect: returns the evidence that a folder has this layout; empty if there is none.
      read: lists a folder (or a table) of this layout; raises UserError for a mistake in it.
      splits: returns the named splits of a folder; None for a layout that has none.
      table: the layout is read from one table, and takes ``columns``.
    """

    form: str
    detect: Callable[[Path], str]
    read: Callable[[Path, Request], Listing]
    splits: Callable[[Path], list[str]] | None = None
    table: bool = False
