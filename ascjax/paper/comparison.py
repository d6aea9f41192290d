"""Sweep results next to the paper's: Markdown, CSV, LaTeX and HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from ascjax.errors import UserError
from ascjax.files import write_text
from ascjax.paper import formats
from ascjax.paper.filled import (
    Comparison,
    Cost,
    FilledTable,
    FilledTables,
    RowResults,
    TableRow,
)
from ascjax.paper.plan import Entry, Sweep
from ascjax.paper.tables import Table
from ascjax.runs import folds, stored
from ascjax.runs.folds import Outcome
from ascjax.runs.info import RunInfo
from ascjax.runs.network import MODEL_FILE
from ascjax.scoring.clusters import by_location, mcnemar_clustered
from ascjax.scoring.metrics import SeedSummary, pool_seeds
from ascjax.scoring.significance import mcnemar

# Outcomes by row and seed.
Outcomes = Mapping[str, Mapping[int, Outcome]]


def write(
    workdir: Path, sweep: Sweep, tables: Mapping[str, Table], entries: Mapping[str, Entry]
) -> str:
    """Writes table.md, table.csv, table.tex and table.html from the finished runs.

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
    filled = _fill(workdir, sweep, tables, entries)
    text = formats.markdown(filled)
    write_text(workdir / "table.md", text)
    write_text(workdir / "table.csv", formats.to_csv(filled))
    write_text(workdir / "table.tex", formats.latex(filled))
    write_text(workdir / "table.html", formats.html(filled, workdir.resolve().name))
    return text


def _fill(
    workdir: Path, sweep: Sweep, tables: Mapping[str, Table], entries: Mapping[str, Entry]
) -> FilledTables:
    outcomes = {name: _finished(entry) for name, entry in entries.items()}
    known = [outcome for seeds in outcomes.values() for outcome in seeds.values()]
    return FilledTables(
        tables={
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
        },
        data_root=sweep.data_root,
        settings={key: str(value) for key, value in sweep.settings.items()},
        seeds=sweep.seeds,
        folds=sweep.folds == "all",
        num_finished=len(known),
        num_planned=sum(len(entry.seeds) for entry in entries.values()),
        synthetic=any(outcome.info.data.synthetic for outcome in known),
        unit=known[0].info.unit if known else "recording",
    )


def _finished(entry: Entry) -> dict[int, Outcome]:
    """Outcomes of a row by seed; one counts once all its folds are there."""
    return {
        seed[0].config.seed: folds.read(seed)
        for seed in entry.seeds
        if all(run.finished for run in seed)
    }


def _line(name: str, entry: Entry, seeds: Mapping[int, Outcome], workdir: Path) -> TableRow:
    config, state = entry.config, "finished"
    if entry.impossible:
        state = f"can’t exist: {entry.impossible}"
    elif len(seeds) < len(entry.seeds):
        state = f"{len(seeds)} of {len(entry.seeds)} seeds" if seeds else "not run yet"
    reports = (run.path / "report.html" for run in entry.runs)
    models = (run.path / MODEL_FILE for run in entry.runs)
    model_file = next((path for path in models if path.exists()), None)
    return TableRow(
        name=name,
        label=entry.row.label,
        trunk=config.model.trunk,
        start=config.init.weights,
        channels=", ".join(config.channels),
        fragments=config.fragments.count,
        head=config.model.head,
        paper=round(entry.row.paper / 100, 4),
        state=state,
        ours=_ours(name, list(seeds.values()), len(entry.seeds), model_file) if seeds else None,
        reports=tuple(str(path.relative_to(workdir)) for path in reports if path.exists()),
    )


def _ours(name: str, seeds: Sequence[Outcome], planned: int, model_file: Path | None) -> RowResults:
    _check_same(f"{name}, its seeds", seeds)
    summary = seeds[0].summary
    total = summary.accuracy.total
    pooled = pool_seeds([seed.summary.accuracy.correct for seed in seeds], total)
    return RowResults(
        recordings=total,
        mean=pooled.mean,
        # Of one seed there is nothing to deviate from but the other folds.
        deviation=summary.deviation if planned == 1 else pooled.deviation,
        interval_95=pooled.interval_95,
        cost=_cost(seeds[0].info, model_file),
        train_s=fmean(seed.seconds.train for seed in seeds),
        test_s=fmean(seed.seconds.test for seed in seeds),
        macro_accuracy=_mean([seed.summary.macro_accuracy for seed in seeds]),
        log_loss=_mean([seed.summary.log_loss for seed in seeds]),
        macro_log_loss=_mean([seed.summary.macro_log_loss for seed in seeds]),
        by_location=by_location(np.stack([seed.right for seed in seeds]), seeds[0].locations),
        by_seen={
            kind: (_of_kind(kind, seeds), part.total) for kind, part in summary.seen_apart.items()
        },
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean, None if one is unknown."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _of_kind(kind: str, seeds: Sequence[Outcome]) -> SeedSummary:
    """Returns the accuracy on ``seen`` or ``unseen`` devices over seeds."""
    parts = [seed.summary.by_seen[kind] for seed in seeds]
    pooled = pool_seeds([part.correct for part in parts], parts[0].total)
    if not (seeds[0].seen and seeds[0].locations):
        return pooled
    of_kind = np.array(seeds[0].seen) == kind
    places = np.array(seeds[0].locations)[of_kind].tolist()
    over = by_location(np.stack([seed.right for seed in seeds])[:, of_kind], places)
    return replace(pooled, by_location=over.interval_95 if over else None)


def _cost(info: RunInfo, model_file: Path | None) -> Cost:
    model = info.model
    return Cost(
        parameters=model.parameters,
        num_bytes=stored.sizes(model_file) if model_file else {},
        flops_per_recording=model.flops_per_recording,
        macs_per_recording=model.macs_per_recording,
        macs_per_second=info.macs_per_second,
        peak_activation_bytes=model.peak_activation_bytes,
    )


def _check_same(names: str, outcomes: Sequence[Outcome]) -> None:
    """Raises UserError unless all were tested on the same recordings."""
    for one in outcomes:
        if not np.array_equal(one.recordings, outcomes[0].recordings):
            raise UserError(
                f"{names}: expected the same test recordings, got others; the data set has changed "
                "during the sweep, so start anew in another --workdir"
            )


def _comparison(
    name: str, against: str, entries: Mapping[str, Entry], outcomes: Outcomes
) -> Comparison:
    common = sorted(outcomes[name].keys() & outcomes[against].keys())
    ours, theirs = ([outcomes[row][seed] for seed in common] for row in (name, against))
    _check_same(f"{name} and {against}", [*ours, *theirs])
    right, right_against = (np.stack([one.right for one in each]) for each in (ours, theirs))
    rows, locations = (entries[name].row, entries[against].row), ours[0].locations
    clustered = mcnemar_clustered(right, right_against, locations).p if locations else None
    return Comparison(
        name=name,
        against=against,
        labels=(rows[0].label, rows[1].label),
        seeds=len(common),
        difference=float(right.mean() - right_against.mean()),
        paper_difference=(rows[0].paper - rows[1].paper) / 100,
        **asdict(mcnemar(right, right_against)),
        p_by_location=clustered,
    )
