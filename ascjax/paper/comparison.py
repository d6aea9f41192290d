"""Sweep results next to the paper's: Markdown, CSV and HTML."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from ascjax.errors import UserError
from ascjax.files import write_text
from ascjax.paper.plan import Entry, Sweep
from ascjax.paper.tables import Table
from ascjax.report import page
from ascjax.report.text import SYNTHETIC_NOTE, counted, duration, interval
from ascjax.runs import folds
from ascjax.runs.folds import Outcome
from ascjax.scoring.metrics import pool_seeds
from ascjax.scoring.significance import mcnemar

# Outcomes by row and seed.
Outcomes = Mapping[str, Mapping[int, Outcome]]
HEAD = ("row", "network", "start", "channels", "N_s", "head", "paper %", "ours %", "95 % interval",
        "parameters", "GFLOP per recording", "training")  # fmt: skip


@dataclass(frozen=True)
class Ours:
    """A row's finished seeds.

    Attributes:
      recordings: test recordings of a seed.
      mean, deviation: of the seeds' accuracies; of the folds' where there is one seed.
      interval_95: Wilson's, at the mean accuracy.
      parameters, flops_per_recording: of the network.
      train_s, test_s: mean seconds of a seed.
    """

    recordings: int
    mean: float
    deviation: float | None
    interval_95: tuple[float, float]
    parameters: int
    flops_per_recording: float
    train_s: float
    test_s: float


@dataclass(frozen=True)
class Line:
    """A row of a table: what it is, the paper's accuracy, ours if a seed is finished."""

    name: str
    label: str
    trunk: str
    start: str
    channels: str
    fragments: int
    head: str
    paper: float
    state: str
    ours: Ours | None
    reports: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """McNemar's test of two rows over the seeds that both have, beside the paper's difference."""

    name: str
    against: str
    labels: tuple[str, str]
    seeds: int
    difference: float
    paper_difference: float
    only_a: int
    only_b: int
    p: float


@dataclass(frozen=True)
class FilledTable:
    """A table of the paper with our results."""

    title: str
    lines: list[Line]
    comparisons: list[Comparison]


def write(
    workdir: Path, sweep: Sweep, tables: Mapping[str, Table], entries: Mapping[str, Entry]
) -> str:
    """Writes table.md, table.csv and table.html from the finished runs.

    Args:
      workdir: the sweep's folder.
      sweep: its sweep.json.
      tables: by number.
      entries: their rows by name.

    Returns:
      The content of table.md.

    Raises:
      UserError: a run is damaged; the message names the file.
    """
    outcomes = {name: _finished(entry) for name, entry in entries.items()}
    filled = {
        name: FilledTable(
            table.title,
            [_line(row, entries[row], outcomes[row], workdir) for row in table.rows],
            [
                _comparison(row, other, entries, outcomes)
                for row in table.rows
                for other in entries[row].row.against
                if other in table.rows and outcomes[row].keys() & outcomes[other].keys()
            ],
        )
        for name, table in tables.items()
    }
    known = [outcome for row in outcomes.values() for outcome in row.values()]
    synthetic = any(outcome.info.data.synthetic for outcome in known)
    text = _markdown(filled, sweep, synthetic=synthetic)
    write_text(workdir / "table.md", text)
    write_text(workdir / "table.csv", _csv(filled, sweep))
    html = page.template("table.html.j2", accuracy, points, p_value).render(
        name=workdir.resolve().name,
        sweep=sweep,
        tables=filled,
        num_finished=len(known),
        num_planned=sum(len(entry.seeds) for entry in entries.values()),
        recordings=max((len(outcome.right) for outcome in known), default=None),
        synthetic_note=SYNTHETIC_NOTE if synthetic else None,
    )
    write_text(workdir / "table.html", html)
    return text


def _finished(entry: Entry) -> dict[int, Outcome]:
    """Outcomes of a row by seed; one counts once all its folds are there."""
    return {
        seed[0].config.seed: folds.read(seed)
        for seed in entry.seeds
        if all(run.finished for run in seed)
    }


def _line(name: str, entry: Entry, seeds: Mapping[int, Outcome], workdir: Path) -> Line:
    config, state = entry.config, "finished"
    if entry.impossible:
        state = f"can’t exist: {entry.impossible}"
    elif len(seeds) < len(entry.seeds):
        state = f"{len(seeds)} of {len(entry.seeds)} seeds" if seeds else "not run yet"
    reports = (run.path / "report.html" for run in entry.runs)
    return Line(
        name=name,
        label=entry.row.label,
        trunk=config.model.trunk,
        start=config.init.weights,
        channels=", ".join(config.channels),
        fragments=config.fragments.count,
        head=config.model.head,
        paper=round(entry.row.paper / 100, 4),
        state=state,
        ours=_ours(list(seeds.values())) if seeds else None,
        reports=tuple(str(path.relative_to(workdir)) for path in reports if path.exists()),
    )


def _ours(seeds: Sequence[Outcome]) -> Ours:
    summary, model = seeds[0].summary, seeds[0].info.model
    total = summary.accuracy.total
    pooled = pool_seeds([seed.summary.accuracy.correct for seed in seeds], total)
    return Ours(
        recordings=total,
        mean=pooled.mean,
        # With one seed there is nothing to deviate from but the other folds.
        deviation=summary.deviation if len(seeds) == 1 else pooled.deviation,
        interval_95=pooled.interval_95,
        parameters=model.parameters,
        flops_per_recording=model.flops_per_recording,
        train_s=fmean(seed.seconds.train for seed in seeds),
        test_s=fmean(seed.seconds.test for seed in seeds),
    )


def _comparison(
    name: str, against: str, entries: Mapping[str, Entry], outcomes: Outcomes
) -> Comparison:
    common = sorted(outcomes[name].keys() & outcomes[against].keys())
    ours, theirs = ([outcomes[row][seed] for seed in common] for row in (name, against))
    for one in (*ours, *theirs):
        if not np.array_equal(one.recordings, ours[0].recordings):
            raise UserError(
                f"{name} and {against}: expected the same test recordings, got others; the data "
                "set has changed during the sweep, so start anew in another --workdir"
            )
    right, right_against = (np.stack([one.right for one in each]) for each in (ours, theirs))
    rows = entries[name].row, entries[against].row
    return Comparison(
        name=name,
        against=against,
        labels=(rows[0].label, rows[1].label),
        seeds=len(common),
        difference=float(right.mean() - right_against.mean()),
        paper_difference=(rows[0].paper - rows[1].paper) / 100,
        **asdict(mcnemar(right, right_against)),
    )


def _about(sweep: Sweep) -> str:
    """Returns what the rows share: data set, overrides, seeds and folds."""
    overrides = ", ".join(f"{key}={value}" for key, value in sweep.settings.items())
    return (
        f"Data set {sweep.data_root}; {counted(sweep.seeds, 'seed')}"
        f"{' on every fold' if sweep.folds else ''}; "
        f"{f'in every row {overrides}' if overrides else 'no overrides'}. "
        "The paper's numbers are those of TUT Urban Acoustic Scenes 2018, fold 1, 2,518 test "
        "recordings."
    )


def _markdown(tables: Mapping[str, FilledTable], sweep: Sweep, *, synthetic: bool) -> str:
    lines = [*([SYNTHETIC_NOTE, ""] if synthetic else []), _about(sweep), ""]
    for name, table in tables.items():
        lines += [f"## Table {name}: {table.title}", ""]
        lines += [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        lines += [f"| {' | '.join(_cells(line))} |" for line in table.lines]
        lines.append("")
        lines += [f"- {_sentence(comparison)}" for comparison in table.comparisons]
        lines.append("")
    return "\n".join(lines)


def _cells(line: Line) -> list[str]:
    """Cells of a row under ``HEAD``."""
    label = f"[{line.label}]({line.reports[0]})" if line.reports else line.label
    cells = [label, line.trunk, line.start, line.channels, str(line.fragments), line.head]
    cells.append(f"{100 * line.paper:.1f}")
    if line.ours is None:
        return [*cells, line.state, "", "", "", ""]
    return [
        *cells,
        accuracy(line.ours) + ("" if line.state == "finished" else f" ({line.state})"),
        interval(line.ours.interval_95),
        f"{line.ours.parameters:,}",
        f"{line.ours.flops_per_recording / 1e9:,.2f}",
        duration(line.ours.train_s),
    ]


def accuracy(ours: Ours) -> str:
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
        f"against {comparison.only_b:,} recordings, {p_value(comparison.p)}"
    )


def _csv(tables: Mapping[str, FilledTable], sweep: Sweep) -> str:
    """A line for each row, numbers in full; comparisons of one row are joined by semicolons."""
    overrides = ";".join(f"{key}={value}" for key, value in sweep.settings.items())
    rows = []
    for name, table in tables.items():
        for line in table.lines:
            made = [each for each in table.comparisons if each.name == line.name]
            shown = asdict(line)
            ours = shown.pop("ours") or dict.fromkeys(Ours.__dataclass_fields__)
            low, high = ours.pop("interval_95") or (None, None)
            shown["reports"] = ";".join(line.reports)
            tests = {
                key: ";".join(str(getattr(each, key)) for each in made)
                for key in ("against", "only_a", "only_b", "p")
            }
            rows.append({
                "table": name, **shown, **ours, "interval_low": low, "interval_high": high,
                **tests, "data_root": sweep.data_root, "overrides": overrides,
            })  # fmt: skip
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
