"""Makes the network that comes with ascjax from a run: what prediction needs, in half precision.

  python -m ascjax.deploy.ship --run=DIR --out=ascjax/shipped/esc10 --data=ESC-10_FOLDER

The accuracy in the card is that of the half-precision network on the run's own test part.
"""

import argparse
import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ascjax import cli, records
from ascjax.data.paths import files_of
from ascjax.errors import UserError
from ascjax.files import as_path, write_text
from ascjax.models import variables
from ascjax.report.text import interval, percent
from ascjax.runs import loading, network
from ascjax.runs.predictor import Classifier
from ascjax.runs.run import Run
from ascjax.scoring.rates import proportion

COMMAND = "ascjax train --config=esc10_small --config.data.root=ESC-10"
CARD = """# A small network for ESC-10

Comes with ascjax: `ascjax.load("esc10")`, `ascjax predict dog.ogg`. To try ascjax with, not to
build on: ten classes of environmental sound, learned from {train} clips of 5 s.

| | |
|---|---|
| classes | {scenes} |
| network | {trunk}, head {head}, {parameters} parameters in half precision, from {start} weights |
| made by | `{command}`, ascjax {version}, {date} |
| accuracy on fold {fold} (unseen) | {correct} of {total}, {accuracy} (95 % interval {interval}) |
| answered "unknown" there | {unknown} of {total} |
| calibration | {calibration} |
| data | ESC-10 by Karol J. Piczak (doi:10.7910/DVN/YDEPUT), CC BY 3.0 as a set |

It knows these ten classes alone. A recording of anything else is answered "unknown" where its
scores or its features are far from those of the training clips, and wrongly where they aren't.
Five-second clips, mostly clean and close; scenes and distant sounds are another task.

Attribution: the clips are from freesound.org; README.txt of ESC-10 (github.com/karolpiczak/ESC-10)
lists their authors and licences (CC0, CC BY 3.0 or CC Sampling+).
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = cli.Parser("python -m ascjax.deploy.ship", __doc__)
    add = parser.add_argument
    add("--run", type=cli.folder, required=True, metavar="DIR", help="a finished run")
    add("--out", type=as_path, required=True, metavar="DIR", help="the folder to make anew")
    add("--data", type=cli.folder, required=True, metavar="DIR", help="the run's data set")
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Writes the folder and prints the accuracy of what is in it."""
    run, out = Run.open(options.run), options.out
    if out.exists() and not (out / "CARD.md").exists():
        raise UserError(f"--out={out}: exists and holds no shipped network; choose another folder")
    restored = network.restore(run).variables
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    sha256 = variables.save(out / network.MODEL_FILE, restored, "float16")
    for name in ("novelty.npz",):
        if (run.path / name).exists():
            shutil.copy(run.path / name, out / name)
    # Nothing of the machine that trained it: neither its paths nor its processor.
    info = dataclasses.replace(
        run.info,
        data=dataclasses.replace(run.info.data, root="ESC-10"),
        environment=dataclasses.replace(run.info.environment, command=COMMAND, hardware="CPU"),
    )
    records.write(out / "run.json", info)
    records.write(out / "results.json", dataclasses.replace(run.results, model_sha256=sha256))
    correct, unknown = _count(run, loading.load(out), options.data)
    accuracy = proportion(correct, run.results.recordings)
    write_text(out / "CARD.md", _card(run, correct, unknown))
    print(f"{out}: {correct} of {accuracy.total} right, {percent(accuracy.accuracy)}")


def _count(run: Run, classifier: Classifier, root: Path) -> tuple[int, int]:
    """Returns on how many test recordings the best scene is right, and how many are unknown."""
    decisions = run.results.decisions
    files = files_of(root, decisions.recording)
    missing = [file for file in files if not os.path.exists(file)]
    if missing:
        raise UserError(f"{missing[0]}: expected a recording of the run's test part, there is none")
    predictions = [classifier.predict(file) for file in files]
    best = [max(each.scores, key=each.scores.__getitem__) for each in predictions]
    unknown = sum(bool(each.unknown) for each in predictions)
    return int(np.sum(np.array(best) == np.array(decisions.true))), unknown


def _card(run: Run, correct: int, unknown: int) -> str:
    info, results = run.info, run.results
    accuracy, calibration = proportion(correct, results.recordings), results.calibration
    bounds = interval(accuracy.interval_95)
    if over := results.by_location:
        bounds = f"{interval(over.interval_95)}, over {over.locations} source recordings"
    return CARD.format(
        train=info.recordings.train,
        scenes=", ".join(info.scenes),
        trunk=info.model.trunk,
        head=info.model.head,
        parameters=f"{info.model.parameters:,}",
        start=info.initial_weights.weights,
        command=COMMAND,
        version=info.environment.versions["ascjax"],
        date=info.environment.started[:10],
        correct=correct,
        unknown=unknown,
        total=results.recordings,
        fold=info.data.fold,
        accuracy=percent(accuracy.accuracy),
        interval=bounds,
        calibration="none" if calibration is None else (
            f"temperature {calibration.temperature:.2f}, fitted on "
            f"{calibration.recordings} validation clips"
        ),
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main, parse)
