"""Accuracy of a recipe that is chosen anew for each fold, within its training part alone.

Run: python -m benchmarks.nested --config=NAME --data_root=DIR --workdir=DIR
     [--config.KEY=VALUE ...] [--recipe=NAME:KEY=VALUE,KEY=VALUE ...] [--inner_epochs=5]
     [--quick] [--out=FILE.json]

A recipe is a name and the leaves of the config that it sets. On each fold every recipe trains a
network on part of the training part (the protocol "validated"), for few epochs; the one with the
lowest log loss on the rest after the last of them trains on the whole training part, for as many
epochs as the config has, and is tested. So no test recording has a say in what the recipes differ
in; what they have in common is as the config has it, however that was chosen.
Runs are kept in the workdir; the same command goes on after a stop.
"""

import argparse
from collections.abc import Sequence

from ml_collections import ConfigDict

from ascjax import cli
from ascjax import config as configs
from ascjax import setup as setups
from ascjax.errors import UserError
from ascjax.files import as_path
from ascjax.report import text
from ascjax.runs import folds
from ascjax.runs.folds import PlannedRun
from ascjax.signals import StopRequest
from ascjax.training.journal import read_history
from benchmarks import measure

# Of fine-tuning on short clips: what ascjax's own configs for them chose between, and from the best
# on, a slower trunk and the other way to make one input plane of three.
_FLOOR = "features.log_floor=1e-2,augment.max_shift=0.5"
RECIPES = (
    "plain:features.log_floor=1e-5,augment.max_shift=0",
    "shifts:features.log_floor=1e-5,augment.max_shift=0.5",
    f"floor:{_FLOOR}",
    f"trunk:{_FLOOR},init.trunk_learning_rate_factor=0.3",
    f"mean:{_FLOOR},init.input_channel=mean",
)
_INNER_SHARE = 0.2


def parse_recipe(word: str) -> tuple[str, dict[str, str]]:
    """Returns name and overrides of ``NAME:KEY=VALUE,KEY=VALUE``: the type of a flag."""
    name, _, settings = word.partition(":")
    pairs = [pair.partition("=") for pair in settings.split(",") if pair]
    if not name or not all(equals for _, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"expected NAME:KEY=VALUE,KEY=VALUE, got {word}")
    return name, {key: value for key, _, value in pairs}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("nested", __doc__)
    add = parser.add_argument
    add("--config", default="esc10_resnet", metavar="NAME_OR_FILE", help="what recipes begin with")
    add("--data_root", required=True, metavar="DIR", help="the data set")
    add("--workdir", type=as_path, required=True, metavar="DIR", help="where runs are kept")
    add("--recipe", type=parse_recipe, action="append", metavar="NAME:KEY=VALUE,...",
        help="one of those chosen from; may be repeated")  # fmt: skip
    add("--inner_epochs", type=cli.count, default=5, metavar="N", help="of each choice (5)")
    words, options_of_config = cli.split_overrides(argv)
    options = parser.parse(words)
    options.recipes = dict(options.recipe or map(parse_recipe, RECIPES))
    options.settings = {**options_of_config, "data.root": options.data_root}
    if options.quick:
        options.inner_epochs = 1
        options.settings |= {"train.num_epochs": "1", "optimizer.warmup_epochs": "0"}
    return options


def make_config(options: argparse.Namespace, recipe: str) -> ConfigDict:
    """Returns the config of a recipe."""
    settings = {**options.settings, **options.recipes[recipe]}
    made = configs.load_config(options.config, settings)
    if made.protocol != "paper":
        raise UserError(f"--config={options.config}: expected the protocol paper, as recipes are "
                        f"chosen here, got {made.protocol}")  # fmt: skip
    return made


def inner_run(options: argparse.Namespace, recipe: str, fold: int) -> PlannedRun:
    """Returns the run that tries a recipe on part of a fold's training part."""
    config = make_config(options, recipe)
    config.data.fold, config.protocol = fold, "validated"
    config.data.validation_fraction = _INNER_SHARE
    config.train.num_epochs = options.inner_epochs
    config.optimizer.warmup_epochs = min(config.optimizer.warmup_epochs, options.inner_epochs / 6)
    path = options.workdir / "inner" / f"fold{fold}" / recipe
    return PlannedRun(f"fold {fold}, recipe {recipe}", config, path)


def inner_loss(run: PlannedRun) -> float:
    """Returns the log loss of a finished inner run on what was held out, after its last epoch."""
    return read_history(run.path / "metrics.jsonl")[-1]["validation/loss"]


def main(options: argparse.Namespace) -> None:
    """Chooses, trains, tests, prints and writes."""
    with StopRequest() as stop:
        first = make_config(options, next(iter(options.recipes)))
        setups.check(first)
        numbers = list(setups.catalogue(first, stop).folds)
    inner = {
        fold: {name: inner_run(options, name, fold) for name in options.recipes} for fold in numbers
    }
    folds.train([run for tried in inner.values() for run in tried.values()], lambda run: None)
    rows, outer = [], []
    for fold, tried in inner.items():
        losses = {name: inner_loss(run) for name, run in tried.items()}
        chosen = min(losses, key=losses.__getitem__)
        config = make_config(options, chosen)
        config.data.fold = fold
        outer.append(PlannedRun(f"fold {fold}", config, options.workdir / f"fold{fold}"))
        rows.append({"fold": fold, **losses, "chosen": chosen})
    folds.train(outer, lambda run: None)
    for row, run in zip(rows, outer, strict=True):
        row["correct"] = folds.read([run]).summary.accuracy.correct
    measure.report("nested", options, {"log loss outside of what was learned, and the test": rows})
    print(text.folds_table(folds.read(outer).summary))


if __name__ == "__main__":
    cli.run(main, parse)
