"""Filled tables as Markdown, CSV, LaTeX and HTML, each with the data set and the overrides."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from ascjax.paper.filled import Comparison, Cost, FilledTable, FilledTables, RowResults, TableRow
from ascjax.report import page
from ascjax.report.text import SYNTHETIC_NOTE, interval, percent, plain_cell, size
from ascjax.runs.stored import PRECISIONS
from ascjax.words import counted, duration

HEAD = ("row", "network", "start", "channels", "N_s", "head", "paper %", "ours %", "95 % interval",
        "by location", "training")  # fmt: skip
_ALIGNMENT = "llllrlrrlll"
_COST_HEAD = ("parameters", *PRECISIONS, "GFLOP per {unit}", "MMAC per {unit}", "MMAC per s",
              "activations")  # fmt: skip
_RANKS_HEAD = ("mean of scenes", "log loss / nats", "mean of scenes / nats")
_DEVICES_HEAD = ("seen in training", "95 % interval", "by location", "of",
                 "unseen", "95 % interval", "by location", "of")  # fmt: skip
_LATEX = str.maketrans({
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "−": "$-$", "–": "--", "’": "'",
})  # fmt: skip


def markdown(filled: FilledTables) -> str:
    """Returns the tables as Markdown, rows linked to their reports."""
    lines = [*([SYNTHETIC_NOTE, ""] if filled.synthetic else []), about(filled), ""]
    for name, table in filled.tables.items():
        lines += [f"## Table {name}: {table.title}", ""]
        lines += _markdown_head(HEAD)
        for line in table.lines:
            label, *cells = _cells(line)
            lines.append(_markdown_row([_markdown_links(label, line.reports), *cells]))
        lines.append("")
        lines += [f"- {_sentence(comparison)}" for comparison in table.comparisons]
        lines.append("")
        for title, head, _, rows in _further(filled, table):
            lines += [f"{title}:", "", *_markdown_head(head), *map(_markdown_row, rows), ""]
    return "\n".join(lines)


def _markdown_head(head: Sequence[str]) -> list[str]:
    return [_markdown_row(head), "|---" * len(head) + "|"]


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_links(label: str, reports: tuple[str, ...]) -> str:
    """Returns a row's label, linked to its report or followed by a link to each of several."""
    links = [quote(report) for report in reports]
    if len(links) == 1:
        return f"[{label}]({links[0]})"
    numbered = (f"[{number}]({link})" for number, link in enumerate(links, start=1))
    return " ".join([label, *numbered])


def about(filled: FilledTables) -> str:
    """Returns what the rows share: data set, test recordings, seeds, folds and overrides."""
    whole = [f"Data set {filled.data_root}"]
    if filled.recordings:
        whole.append(f", {counted(filled.recordings, 'test recording')}")
    whole.append(f"; {counted(filled.seeds, 'seed')}{' on every fold' if filled.folds else ''}; ")
    overrides = ", ".join(f"{key}={value}" for key, value in filled.settings.items())
    whole.append(f"in every row {overrides}. " if overrides else "no overrides. ")
    whole.append(
        "The paper's numbers are those of TUT Urban Acoustic Scenes 2018, fold 1, 2,518 test "
        "recordings."
    )
    return "".join(whole)


_Further = tuple[str, tuple[str, ...], str, list[tuple[str, ...]]]


def _further(filled: FilledTables, table: FilledTable) -> Iterator[_Further]:
    """Yields title, head, alignment and rows of what stands below a table's accuracies."""
    done = [(line.label, line.ours) for line in table.lines if line.ours]
    ranked = [(label, ours) for label, ours in done if ours.log_loss is not None]
    if ranked:
        rows = [(label, *_rank_cells(ours)) for label, ours in ranked]
        yield "As challenges rank", ("row", *_RANKS_HEAD), "lrrr", rows
    tested = [(label, ours) for label, ours in done if ours.by_seen]
    if tested:
        rows = [(label, *_device_cells(ours)) for label, ours in tested]
        yield "Devices", ("row", *_DEVICES_HEAD), "lrllrrllr", rows
    if done:
        head = ("row", *(cell.format(unit=filled.unit) for cell in _COST_HEAD))
        yield "Complexity", head, "lrrrrrrrr", [(label, *_cost_cells(o.cost)) for label, o in done]


def _cost_cells(cost: Cost) -> tuple[str, ...]:
    """Returns the cells of a network's complexity under ``_COST_HEAD``."""
    return (
        f"{cost.parameters:,}",
        *(size(cost.num_bytes[each]) if cost.num_bytes else "–" for each in PRECISIONS),
        f"{cost.flops_per_recording / 1e9:,.2f}",
        f"{cost.macs_per_recording / 1e6:,.1f}",
        f"{cost.macs_per_second / 1e6:,.1f}",
        size(cost.peak_activation_bytes),
    )


def _device_cells(ours: RowResults) -> tuple[str, ...]:
    """Returns the cells of accuracies on seen and unseen devices under ``_DEVICES_HEAD``."""
    return tuple(
        cell
        for accuracy, total in (ours.by_seen[kind] for kind in ("seen", "unseen"))
        for cell in (
            percent(accuracy.mean),
            interval(accuracy.interval_95),
            interval(accuracy.by_location),
            f"{total:,}",
        )
    )


def _rank_cells(ours: RowResults) -> tuple[str, ...]:
    """Returns the cells of a row's class-wise accuracy and log losses under ``_RANKS_HEAD``."""
    losses = (ours.log_loss, ours.macro_log_loss)
    return (
        percent(ours.macro_accuracy),
        *("–" if loss is None else f"{loss:.3f}" for loss in losses),
    )


def _cells(line: TableRow) -> list[str]:
    """Returns the cells of a row under ``HEAD``."""
    cells = [line.label, line.trunk, line.start, line.channels, str(line.fragments), line.head]
    cells.append(f"{100 * line.paper:.1f}")
    if line.ours is None:
        return [*cells, line.state, *[""] * (len(HEAD) - len(cells) - 1)]
    places = line.ours.by_location
    return [
        *cells,
        accuracy(line.ours) + ("" if line.state == "finished" else f" ({line.state})"),
        interval(line.ours.interval_95),
        interval(places.interval_95 if places else None),
        duration(line.ours.train_s),
    ]


def accuracy(ours: RowResults) -> str:
    """Returns a row's accuracy in % as ``70.6`` or, with a deviation, ``70.6 ± 0.4``."""
    deviation = "" if ours.deviation is None else f" ± {100 * ours.deviation:.1f}"
    return f"{100 * ours.mean:.1f}{deviation}"


def points(difference: float) -> str:
    """Returns a difference of rates in points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """Returns ``p = 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _sentence(comparison: Comparison) -> str:
    label, against = comparison.labels
    return (
        f"{label} against {against}: {points(comparison.difference)} points (the paper: "
        f"{points(comparison.paper_difference)}); alone right on {comparison.only_a:,} "
        f"against {comparison.only_b:,} recordings, {p_value(comparison.p)}{_clustered(comparison)}"
    )


def _clustered(comparison: Comparison) -> str:
    p = comparison.p_by_location
    return "" if p is None else f" ({p_value(p)} by location)"


def latex(filled: FilledTables) -> str:
    r"""Returns the tables as LaTeX ``table`` environments, which need no package."""
    lines = []
    for name, table in filled.tables.items():
        notes = [f"Table {name} of the paper, beside our runs: {table.title}.", about(filled)]
        notes += [SYNTHETIC_NOTE.replace("\n", " ")] if filled.synthetic else []
        rows = []
        for line in table.lines:
            rows.append(_latex_row(_cells(line)))
            rows += [f"% {report}" for report in line.reports]
        lines += _latex_table(" ".join(notes), HEAD, _ALIGNMENT, rows)
        for title, head, alignment, cells in _further(filled, table):
            caption = f"{title} of the rows of table {name}."
            lines += _latex_table(caption, head, alignment, list(map(_latex_row, cells)))
    return "\n".join(lines)


def _latex_table(
    caption: str, head: Sequence[str], alignment: str, rows: Sequence[str]
) -> list[str]:
    return [
        r"\begin{table*}", r"\centering", r"\footnotesize",
        rf"\caption{{{_latex(caption)}}}",
        rf"\begin{{tabular}}{{{alignment}}}", r"\hline",
        _latex_row(head).replace(r"N\_s", "$N_s$"),
        r"\hline", *rows, r"\hline", r"\end{tabular}", r"\end{table*}", "",
    ]  # fmt: skip


def _latex(text: str) -> str:
    return text.translate(_LATEX)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def to_csv(filled: FilledTables) -> str:
    """Returns a line for each row, numbers in full; its comparisons are joined by semicolons.

    Text that a spreadsheet would take for a formula begins with ``'``.
    """
    overrides = ";".join(f"{key}={value}" for key, value in filled.settings.items())
    rows = []
    for name, table in filled.tables.items():
        for line in table.lines:
            made = [each for each in table.comparisons if each.name == line.name]
            shown = asdict(line)
            ours = shown.pop("ours") or dict.fromkeys(RowResults.__dataclass_fields__)
            low, high = ours.pop("interval_95") or (None, None)
            places = ours.pop("by_location") or {"locations": None, "interval_95": (None, None)}
            by_low, by_high = places["interval_95"]
            cost = ours.pop("cost") or dict.fromkeys(Cost.__dataclass_fields__)
            num_bytes = cost.pop("num_bytes") or {}
            sizes = {f"bytes_{each}": num_bytes.get(each) for each in PRECISIONS}
            by_seen = ours.pop("by_seen") or {}
            shown["reports"] = ";".join(line.reports)
            tests = {
                key: ";".join(str(getattr(each, key)) for each in made)
                for key in ("against", "only_a", "only_b", "p", "p_by_location")
            }
            rows.append({
                "table": name, **shown, **ours, **cost, **sizes, "interval_low": low,
                "interval_high": high, **_device_columns(by_seen),
                "locations": places["locations"],
                "by_location_low": by_low, "by_location_high": by_high,
                **tests, "data_root": filled.data_root, "overrides": overrides,
            })  # fmt: skip
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: plain_cell(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in rows
    )
    return file.getvalue()


def _device_columns(by_seen: Mapping[str, tuple[Mapping[str, Any], int]]) -> dict[str, Any]:
    """Returns the columns of accuracies on seen and unseen devices, empty if there are none."""
    columns: dict[str, Any] = {}
    for kind in ("seen", "unseen"):
        summary, total = by_seen.get(kind, ({}, None))
        low, high = summary.get("interval_95", (None, None))
        by_low, by_high = summary.get("by_location") or (None, None)
        columns |= {
            f"{kind}_recordings": total, f"{kind}_mean": summary.get("mean"),
            f"{kind}_low": low, f"{kind}_high": high,
            f"{kind}_by_location_low": by_low, f"{kind}_by_location_high": by_high,
        }  # fmt: skip
    return columns


def html(filled: FilledTables, name: str) -> str:
    """Returns the tables as a page; ``name`` is its title."""
    return page.template("table.html.j2", accuracy, points, p_value).render(
        name=name,
        filled=filled,
        further={each: list(_further(filled, table)) for each, table in filled.tables.items()},
        tables=filled.tables,
        synthetic_note=SYNTHETIC_NOTE if filled.synthetic else None,
    )
