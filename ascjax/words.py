"""Counts, durations and aligned columns as plain text."""

from collections.abc import Sequence


def is_one_line(text: str) -> bool:
    """Returns whether no line ends within a text or with it, so that it can be one of a list."""
    return len(f"{text}.".splitlines()) == 1


def counted(count: int, noun: str) -> str:
    """Returns ``1 scene`` or ``2,518 scenes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(items: Sequence[str], limit: int = 8) -> str:
    """Returns the items with commas, and how many there are beyond ``limit``."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def duration(seconds: float) -> str:
    """Returns ``7.5 s``, ``50 s``, ``5 min 3 s`` or ``2 h 5 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {rest} min"


def aligned(rows: Sequence[Sequence[str]], *, num_numbers: int = 4) -> str:
    """Returns rows as plain text: names left-aligned, then right-aligned numbers, then words.

    Args:
      rows: of equally many cells.
      num_numbers: columns after the first that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= index <= num_numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
