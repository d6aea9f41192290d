"""Delimited text tables of any dialect: CSV, TSV, semicolons, quotes, blanks, byte order mark."""

import codecs
import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ascjax.errors import UserError, nearest
from ascjax.files import read_bytes

DELIMITERS = (",", "\t", ";", "|")

# What each column is called in published sets and in tables people make; the first is our name.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "path": (
        "path", "filename", "file", "file_name", "filepath", "file_path", "fname", "audio",
        "audio_file", "audio_path", "audio_filename", "wav", "wav_file", "slice_file_name",
    ),
    "scene": ("scene", "scene_label", "label", "class", "category", "class_name", "scene_name"),
    "fold": ("fold", "split", "part", "subset", "set", "partition"),
    "location": ("location", "place", "site", "identifier", "src_file", "fsid"),
    "city": ("city", "town"),
    "device": ("device", "source_label", "recorder", "microphone"),
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table's rows by column.

    Attributes:
      path: the file.
      columns: as the header writes them, or as given for a file without header.
      rows: the line number of each row and its cells, as many as there are columns.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, list[str]]]

    def index(self, column: str) -> int:
        """Returns the place of a column; raises UserError if there is none of that name."""
        for place, name in enumerate(self.columns):
            if key(name) == key(column):
                return place
        listed = ", ".join(filter(None, self.columns))
        raise UserError(
            f"{self.path}, line 1: expected a column {column!r}, its columns are {listed}"
            f"{nearest(column, list(self.columns))}"
        )


def key(name: str) -> str:
    """Returns a column's name without regard to case, blanks and hyphens."""
    return "_".join(name.strip().strip("\"'").casefold().replace("-", " ").split())


def read(path: Path, delimiter: str = "", *, header: Sequence[str] = ()) -> Table:
    """Reads a text table; blank lines are left out, cells lose the blanks around them.

    Args:
      path: the file, in UTF-8 or UTF-16 with a byte order mark.
      delimiter: between cells; empty to take the one that the first line has most of.
      header: columns of a file that may have none; the first line is a header if its first cell
        says so. Empty if the first line is the header.

    Raises:
      UserError: the file can't be read, is no text table, is empty, names a column twice, or has a
        row of another length, a quote that isn't closed, or a name over several lines; the message
        gives the line.
    """
    text = _text(path)
    delimiter = delimiter or sniff(text)
    rows = _rows(path, text, delimiter)
    if any("\n" in cell or "\r" in cell for _, cells in rows for cell in cells):
        rows = _rows(path, text, delimiter, strict=True)  # a quote that isn't closed swallows rows
    rows = [(line, [cell.strip() for cell in cells]) for line, cells in rows]
    rows = [(line, cells) for line, cells in rows if any(cells)]
    if not rows:
        raise UserError(f"{path}: the table is empty")
    if not header or key(rows[0][1][0]) == key(header[0]):
        columns = tuple(rows.pop(0)[1])
    else:
        columns = tuple(header[: len(rows[0][1])])
    table = Table(path, columns, rows)
    _check(table)
    return table


def _rows(
    path: Path, text: str, delimiter: str, *, strict: bool = False
) -> list[tuple[int, list[str]]]:
    """Returns each row's line and cells; ``strict``: nothing may follow a quote but a delimiter."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        skipinitialspace=delimiter != "\t",
        strict=strict,
    )
    rows, line = [], 1
    try:
        for row in reader:
            rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {line}: expected a text table ({error})") from error
    return rows


def sniff(text: str) -> str:
    """Returns the delimiter that a table's first line that isn't blank has most of."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(DELIMITERS, key=first.count)


def header(path: Path) -> tuple[str, ...]:
    """Returns the cells of a file's first line, or nothing if it is no text table."""
    if not os.path.isfile(path):  # a pipe would be waited for
        return ()
    try:
        with path.open("rb") as file:
            text = _decode(file.read(1 << 16), errors="ignore")
    except OSError:
        return ()
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        row = next(csv.reader([first], delimiter=sniff(first), skipinitialspace=True), [])
    except csv.Error:
        return ()
    return tuple(cell.strip() for cell in row)


def roles(
    columns: Sequence[str],
    given: Mapping[str, str] | None,
    path: Path,
    required: Sequence[str] = (),
) -> dict[str, int]:
    """Returns the place of the column for each role, of those in ``SYNONYMS``.

    Args:
      columns: a table's header.
      given: the column by role where the user says it; None of a published set's tables, where he
        can't.
      path: the table, for messages.
      required: roles that must be there.

    Raises:
      UserError: an unknown role or column, two columns for one role, or a required role without
        a column.
    """
    advice = given is not None
    given = given or {}
    unknown = [role for role in given if role not in SYNONYMS]
    if unknown:
        raise UserError(
            f"columns: expected {', '.join(SYNONYMS)} on the left of '=', got {unknown[0]!r}"
            f"{nearest(unknown[0], list(SYNONYMS))}"
        )
    table = Table(path, tuple(columns), [])
    places = {role: table.index(column) for role, column in given.items()}
    taken = set(places.values())
    for role in SYNONYMS:
        if role not in given:
            place = _place(role, table, taken, needed=role in required)
            if place is not None:
                places[role] = place
    lacking = [role for role in required if role not in places]
    if lacking:
        plural = "s" * (len(lacking) > 1)
        example = ",".join(f"{role}=COLUMN" for role in lacking)
        raise UserError(
            f"{path}, line 1: expected the column{plural} {', '.join(lacking)}, its columns are "
            f"{', '.join(columns)}" + f"; pass columns {example}" * advice
        )
    return places


def parse_columns(text: str) -> dict[str, str]:
    """Returns the column of each role of ``path=filename,scene=label``; nothing for nothing.

    Raises:
      UserError: a part is no ``ROLE=COLUMN``.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(role.strip() and equals and column.strip() for role, equals, column in pairs):
        raise UserError(f"columns: expected ROLE=COLUMN,..., got {text!r}")
    return {role.strip(): column.strip() for role, _, column in pairs}


def _place(role: str, table: Table, taken: Collection[int], *, needed: bool) -> int | None:
    """Returns the place of the column whose name means a role, of those that aren't taken.

    Raises:
      UserError: several could, none has our own name for it, and it is needed.
    """
    fitting = [
        place
        for place, name in enumerate(table.columns)
        if key(name) in SYNONYMS[role] and place not in taken
    ]
    own = [place for place in fitting if key(table.columns[place]) == role]
    if own or len(fitting) == 1:
        return (own or fitting)[0]
    if fitting and needed:
        names = [table.columns[place] for place in fitting]
        raise UserError(
            f"{table.path}, line 1: {' and '.join(names)} could each be the {role}; "
            f"pass columns {role}={names[0]}"
        )
    return None


def _text(path: Path) -> str:
    try:
        return _decode(read_bytes(path))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: expected a text table in UTF-8 ({error}); save it as CSV UTF-8"
        ) from error


def _decode(data: bytes, errors: str = "strict") -> str:
    # Spreadsheets save "Unicode text" as UTF-16.
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig", errors)


def _check(table: Table) -> None:
    """Raises if a column is named twice, there is no row, or a row isn't one of names."""
    named = [key(column) for column in table.columns if column]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice:
        raise UserError(f"{table.path}, line 1: the column {twice!r} is there twice; rename one")
    if not table.rows:
        raise UserError(f"{table.path}: the table has a header and no row")
    expected = len(table.columns)
    words = {word for words in SYNONYMS.values() for word in words}
    names = [place for place, column in enumerate(table.columns) if key(column) in words]
    for line, row in table.rows:
        if len(row) != expected:
            raise UserError(
                f"{table.path}, line {line}: expected {expected} columns, got {len(row)}"
            )
        if any(len(row[place].splitlines()) > 1 for place in names):
            raise UserError(
                f"{table.path}, line {line}: expected names on one line; is a quote not closed?"
            )
