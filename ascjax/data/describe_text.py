"""A set's description as plain text of at most 100 columns, in full and in brief."""

import textwrap
from collections.abc import Iterable, Sequence

from ascjax.data.describe import Amount, Description
from ascjax.words import aligned, counted, duration

_WIDTH = 100
_MOST_ROWS = 30
_MOST_VALUES = 5
_UNCHECKED = "Only headers were read: silence, clipping and re-encoded copies are not looked for."


def text(description: Description) -> str:
    """Returns the whole description, in sections."""
    d = description
    sections = [
        "\n".join(_head(d)),
        _table("scene", d.scenes, d.total),
        _folds(d),
        _places(d),
        "\n".join(_form(d)),
        _list("Not read", [str(kind).removeprefix("left out: ") for kind in d.left_out]),
        _list("Unreadable files", d.unreadable.values(), most=10),
        _list("Problems", _problems(d)),
        _list("Notes", d.notes),
        "\n".join(_advice(d)),
    ]
    return "\n\n".join(filter(None, sections))


def brief(description: Description) -> str:
    """Returns a summary to print before each training: size, choice, problems."""
    d = description
    lines = [*_head(d), *_choice(d)]
    lines += [str(kind) for kind in d.left_out if not kind.harmless]
    if d.unreadable:
        first = next(iter(d.unreadable.values()))
        lines.append(f"{counted(len(d.unreadable), 'file')} can't be read, the first: {first}")
    return "\n".join(_wrapped(line) for line in [*lines, *_problems(d), *d.notes])


def _head(d: Description) -> list[str]:
    counts = [
        counted(d.total.recordings, "recording"),
        duration(d.total.seconds),
        counted(len(d.scenes), "scene"),
        counted(len(d.folds), "fold"),
    ]
    for amounts, noun in ((d.locations, "location"), (d.devices, "device")):
        if amounts:
            counts.append(counted(len(amounts), noun))
    if d.cities:
        counts.append(f"{len(d.cities):,} cit{'y' if len(d.cities) == 1 else 'ies'}")
    return [_wrapped(d.root), ", ".join(counts), _wrapped(f"layout {d.layout}: {d.reason}")]


def _table(title: str, amounts: Sequence[Amount], total: Amount) -> str:
    """Returns amounts as rows, the largest if there are too many to list."""
    if not amounts:
        return ""
    shown = amounts
    if len(amounts) > _MOST_ROWS:
        shown = sorted(amounts, key=lambda amount: -amount.recordings)[:_MOST_ROWS]
    rows = [(title, "recordings", "share", "time")]
    rows += [
        (
            _shortened(str(amount.value), 50),
            f"{amount.recordings:,}",
            f"{100 * amount.recordings / total.recordings:.1f} %",
            duration(amount.seconds),
        )
        for amount in shown
    ]
    rest = len(amounts) - len(shown)
    return aligned(rows, num_numbers=9) + (f"\n… and {rest:,} more" if rest else "")


def _folds(d: Description) -> str:
    sizes = {(fold.train, fold.test, fold.neither) for fold in d.folds}
    if len(d.folds) > 1 and len(sizes) == 1:
        [(train, test, neither)] = sizes
        idle = f"; {counted(neither, 'recording')} in neither part" if neither else ""
        each = f"each of {train:,} training and {test:,} test recordings{idle}"
        return _wrapped(f"{len(d.folds)} folds, {each}")
    shown = 4 if any(fold.neither for fold in d.folds) else 3
    rows = [("fold", "training", "test", "in neither")[:shown]]
    rows += [
        tuple(f"{number:,}" for number in (fold.fold, fold.train, fold.test, fold.neither))[:shown]
        for fold in d.folds[:_MOST_ROWS]
    ]
    return aligned(rows, num_numbers=9)


def _places(d: Description) -> str:
    tables = [_table("city", d.cities, d.total), _table("device", d.devices, d.total)]
    if d.locations:
        sizes = sorted(amount.recordings for amount in d.locations)
        tables.insert(0, (
            f"recordings of a location: {sizes[0]:,} to {sizes[-1]:,}, median "
            f"{sizes[len(sizes) // 2]:,}"
        ))  # fmt: skip
    return "\n\n".join(filter(None, tables))


def _form(d: Description) -> list[str]:
    """Returns sample rates, columns and durations, and the choice for training."""
    columns = {1: "mono", 2: "stereo"}
    lines = [
        ("sample rate", _values(d.sample_rates_hz, lambda v: f"{v:,} Hz")),
        ("columns", _values(d.columns, lambda v: columns.get(v, f"{v} columns"))),
        ("duration", _values(d.durations_s, lambda v: f"{v:g} s")),
    ]
    if len(d.durations_s) > _MOST_VALUES:
        values = sorted(float(amount.value) for amount in d.durations_s)
        lines.append(("", f"from {values[0]:g} s to {values[-1]:g} s"))
    return [_wrapped(f"{name:12} {values}", 13) for name, values in lines] + _choice(d)


def _values(amounts: Sequence[Amount], write) -> str:
    shown = [f"{write(amount.value)} ({amount.recordings:,})" for amount in amounts[:_MOST_VALUES]]
    rest = len(amounts) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} others" if rest else "")


def _choice(d: Description) -> list[str]:
    c = d.choice
    if c is None:
        return ["No recording has a readable header, so there is nothing to train on."]
    used = (
        "all of the audio is used"
        if c.used_s >= 0.9995 * c.total_s
        else f"{duration(c.used_s)} of {duration(c.total_s)} of audio are used"
    )
    costs = [
        f"{counted(count, 'recording')} {what}"
        for count, what in (
            (c.num_resampled, "resampled"),
            (c.num_cut, "cut"),
            (c.num_repeated, "repeated to fill it"),
            (c.num_short, "too short to be used"),
        )
        if count
    ]
    line = f"Training takes {c.sample_rate_hz:,} Hz and {c.duration_s:g} s: {c.why}; {used}"
    lines = [_wrapped("; ".join([line, *costs]) + ".")]
    if 2 * c.used_s < c.total_s:
        advice = "more than half of the audio isn't used; windows (window_s) would use it"
        lines.append(_wrapped(f"warning: {advice}"))
    return lines


def _problems(d: Description) -> list[str]:
    lines = [str(finding) for finding in d.findings]
    lines += [str(kind).replace("left out", "sound", 1) for kind in d.sound_problems]
    if d.small_scenes:
        listed = ", ".join(f"{scene} ({count})" for scene, count in d.small_scenes.items())
        lines.append(f"few recordings: {listed}; a test on so few says little about these scenes")
    return lines


def _advice(d: Description) -> list[str]:
    s = d.suggestion
    lines = [] if d.inspected else [_UNCHECKED]
    lines.append(f"A config to begin with: {s.config} ({s.why}).")
    if s.window_s:
        lines.append(
            f"Some recordings are long: windows of {s.window_s:g} s would use nearly all of them."
        )
    if d.training_s is not None:
        lines.append(f"Training would take about {duration(d.training_s)} on this machine.")
    return [_wrapped(line) for line in lines]


def _list(title: str, lines: Iterable[str], most: int = _MOST_ROWS) -> str:
    lines = list(lines)
    if not lines:
        return ""
    shown = [_wrapped(f"- {line}", 2) for line in lines[:most]]
    rest = len(lines) - len(shown)
    return "\n".join([title, *shown, *([f"… and {rest:,} more"] if rest else [])])


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _wrapped(line: str, indent: int = 2) -> str:
    return textwrap.fill(
        line, _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
