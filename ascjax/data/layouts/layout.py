"""What a dataset layout is: how it is detected, how it is read, and which arguments it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ascjax.data.listing import Listing


@dataclass(frozen=True)
class Request:
    """What may be asked of a set beyond its place.

    Attributes:
      split: a named subset that the set publishes, e.g. ``split5``; empty for the whole.
      columns: a table's column by role (``path``, ``scene``, …) where its header can't be guessed.
    """

    split: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One way in which sets lie on disk.

    Attributes:
      form: the layout in a line, for messages and documentation.
      detect: returns what tells that a folder has this layout, or an empty string.
      read: lists a folder (or a table) of this layout; raises UserError for a mistake in it.
      splits: returns the named splits of a folder; None for a layout that has none.
      table: the layout is read from one table, and takes ``columns``.
    """

    form: str
    detect: Callable[[Path], str]
    read: Callable[[Path, Request], Listing]
    splits: Callable[[Path], list[str]] | None = None
    table: bool = False
