"""Overview page of a set's folds: index of their reports, pooled results."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ascjax.errors import UserError
from ascjax.files import write_text
from ascjax.report import facts, page, plots
from ascjax.report.image import Image
from ascjax.report.text import SYNTHETIC_NOTE
from ascjax.runs.network import MODEL_FILE
from ascjax.runs.run import Run
from ascjax.scoring.metrics import FoldSummary
from ascjax.scoring.rates import proportion


def write(workdir: Path, folds: FoldSummary, runs: Sequence[Path]) -> Path:
    """Writes ``report.html`` of all folds, which links to the report of each.

    Args:
      workdir: where the page goes.
      folds: pooled results of the runs.
      runs: the folders of the finished runs, one a fold.

    Returns:
      The path of the page.

    Raises:
      UserError: a run is damaged, or its scenes aren't those of the others.
    """
    opened = [Run.open(folder) for folder in runs]
    scenes = opened[0].results.scenes
    for run in opened:
        if run.results.scenes != scenes:
            raise UserError(f"{run.path}: expected the scenes {', '.join(scenes)} as in {runs[0]}")
    counts = np.sum([run.results.confusion for run in opened], axis=0)
    info = opened[0].info
    text = page.template("folds.html.j2").render(
        name=workdir.resolve().name,
        run=info,
        folds=folds,
        chance=opened[0].results.chance,
        links={str(run.info.data.fold): _link(run, workdir) for run in opened},
        by_scene={
            scene: proportion(int(row[index]), int(row.sum()))
            for index, (scene, row) in enumerate(zip(scenes, counts, strict=True))
        },
        confusion=Image.of(
            plots.confusion(counts, scenes=scenes),
            "Percentage of each true scene's recordings by predicted scene, all folds",
        ),
        complexity=facts.complexity(info, opened[0].path / MODEL_FILE),
        train_s=sum(run.results.seconds.train for run in opened),
        synthetic_note=SYNTHETIC_NOTE if info.data.synthetic else None,
    )
    path = workdir / "report.html"
    write_text(path, text)
    return path


def _link(run: Run, workdir: Path) -> str | None:
    """Returns the run's report as seen from ``workdir``, or None if it isn't written."""
    page_path = run.path / "report.html"
    return quote(os.path.relpath(page_path, workdir)) if page_path.exists() else None
