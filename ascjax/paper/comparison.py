"""What a sweep came to, beside the paper's tables: as numbers, Markdown, CSV and HTML."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ascjax.errors import UserError
from ascjax.files import write_text
from ascjax.paper.plan import Entry
from ascjax.paper.tables import Table
from ascjax.report import page
from ascjax.report.text import SYNTHETIC_NOTE, duration, interval
from ascjax.runs import folds
from ascjax.runs.folds import Outcome
from ascjax.scoring import metrics

# Outcomes by row and seed.
Outcomes = Mapping[str, Mapping[int, Outcome]]
# What a row gets from its runs.
NUMBERS = ("recordings", "mean", "deviation", "interval_95", "parameters", "flops_per_recording",
           "train_s", "test_s")  # fmt: skip
HEAD = ("row", "network", "start", "channels", "N_s", "head", "paper %", "ours %", "95 % interval",
        "parameters", "GFLOP per recording", "training")  # fmt: skip


def write(
    workdir: Path,
    about: Mapping[str, Any],
    tables: Mapping[str, Table],
    entries: Mapping[str, Entry],
) -> str:
    """Writes table.md, table.csv and table.html from what is finished.

    Args:
      workdir: the sweep's folder.
      about: its sweep.json.
      tables: by number.
      entries: their rows by name.

    Returns:
      What table.md holds.

    Raises:
      UserError: a run is damaged; the message names the file.
    """
    outcomes = {name: _finished(entry) for name, entry in entries.items()}
    filled = {
        name: {
            "title": table.title,
            "lines": [_line(row, entries[row], outcomes[row]) for row in table.rows],
            "comparisons": [
                _comparison(row, other, entries, outcomes)
                for row in table.rows
                for other in entries[row].row.against
                if other in table.rows and outcomes[row].keys() & outcomes[other].keys()
            ],
        }
        for name, table in tables.items()
    }
    known = [outcome for row in outcomes.values() for outcome in row.values()]
    synthetic = any(outcome.about["synthetic"] for outcome in known)
    text = _markdown(filled, synthetic=synthetic)
    write_text(workdir / "table.md", text)
    write_text(workdir / "table.csv", _csv(filled))
    html = page.template("table.html.j2", accuracy, points, p_value).render(
        name=workdir.resolve().name,
        about=about,
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


def _line(name: str, entry: Entry, seeds: Mapping[int, Outcome]) -> dict[str, Any]:
    """One row: what it is, the paper's number, and ours, None as long as no seed is finished."""
    config, state = entry.config, "finished"
    if entry.impossible:
        state = f"can’t exist: {entry.impossible}"
    elif len(seeds) < len(entry.seeds):
        state = f"{len(seeds)} of {len(entry.seeds)} seeds" if seeds else "not run yet"
    return {
        "name": name,
        "label": entry.row.label,
        "trunk": config.model.trunk,
        "start": config.init.weights,
        "channels": ", ".join(config.channels),
        "fragments": config.fragments.count,
        "head": config.model.head,
        "paper": round(entry.row.paper / 100, 4),
        "state": state,
        **(_ours(list(seeds.values())) if seeds else dict.fromkeys(NUMBERS)),
    }


def _ours(seeds: Sequence[Outcome]) -> dict[str, Any]:
    """The ``NUMBERS`` of a row's finished seeds."""
    summary, model = seeds[0].summary, seeds[0].about["model"]
    total = summary["accuracy"]["total"]
    over = metrics.over_seeds([seed.summary["accuracy"]["correct"] for seed in seeds], total)
    if len(seeds) == 1:  # nothing to deviate from but the other folds
        over["deviation"] = summary["deviation"]
    return {
        "recordings": total,
        **over,
        "parameters": model["parameters"],
        "flops_per_recording": model["flops_per_recording"],
        "train_s": fmean(seed.seconds["train"] for seed in seeds),
        "test_s": fmean(seed.seconds["test"] for seed in seeds),
    }


def _comparison(
    name: str, against: str, entries: Mapping[str, Entry], outcomes: Outcomes
) -> dict[str, Any]:
    """McNemar's test of two rows over the seeds that both have."""
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
    return {
        "name": name,
        "against": against,
        "labels": [row.label for row in rows],
        "seeds": len(common),
        "difference": float(right.mean() - right_against.mean()),
        "paper_difference": (rows[0].paper - rows[1].paper) / 100,
        **metrics.mcnemar(right, right_against),
    }


def _markdown(tables: Mapping[str, Any], *, synthetic: bool) -> str:
    lines = [SYNTHETIC_NOTE, ""] if synthetic else []
    for name, table in tables.items():
        lines += [f"## Table {name}: {table['title']}", ""]
        lines += [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        lines += [f"| {' | '.join(_cells(line))} |" for line in table["lines"]]
        lines.append("")
        lines += [f"- {_in_words(comparison)}" for comparison in table["comparisons"]]
        lines.append("")
    return "\n".join(lines)


def _cells(line: Mapping[str, Any]) -> list[str]:
    """What ``HEAD`` says of a row."""
    what = [str(line[key]) for key in ("label", "trunk", "start", "channels", "fragments", "head")]
    what.append(f"{100 * line['paper']:.1f}")
    if line["mean"] is None:
        return [*what, line["state"], "", "", "", ""]
    return [
        *what,
        accuracy(line) + ("" if line["state"] == "finished" else f" ({line['state']})"),
        interval(line["interval_95"]),
        f"{line['parameters']:,}",
        f"{line['flops_per_recording'] / 1e9:,.2f}",
        duration(line["train_s"]),
    ]


def accuracy(line: Mapping[str, Any]) -> str:
    """Returns a row's accuracy in % as ``70.6`` or, with a deviation, ``70.6 ± 0.4``."""
    deviation = "" if line["deviation"] is None else f" ± {100 * line['deviation']:.1f}"
    return f"{100 * line['mean']:.1f}{deviation}"


def points(difference: float) -> str:
    """Returns a difference of rates in points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """Returns ``p = 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _in_words(comparison: Mapping[str, Any]) -> str:
    label, against = comparison["labels"]
    return (
        f"{label} against {against}: {points(comparison['difference'])} points (the paper: "
        f"{points(comparison['paper_difference'])}); alone right on {comparison['only_a']:,} "
        f"against {comparison['only_b']:,} recordings, {p_value(comparison['p'])}"
    )


def _csv(tables: Mapping[str, Any]) -> str:
    """A line for each row, numbers in full; comparisons of one row are joined by semicolons."""
    records = []
    for name, table in tables.items():
        for line in table["lines"]:
            low, high = line["interval_95"] or (None, None)
            made = [each for each in table["comparisons"] if each["name"] == line["name"]]
            tests = {
                key: ";".join(str(each[key]) for each in made)
                for key in ("against", "only_a", "only_b", "p")
            }
            whole = {**line, "interval_low": low, "interval_high": high, **tests}
            del whole["interval_95"]
            records.append({"table": name, **whole})
    file = io.StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()
