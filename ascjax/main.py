"""Trains and evaluates: python -m ascjax.main --config=configs/vgg_mlp.py --config.data.root=DIR.

Every leaf of the config can be overridden, e.g. --config.fragments.count=3. The same command goes
on with a run that was stopped. Runs are kept in --workdir, by default in runs/ under the config
file's name; with --folds=all there is one for each fold of the set.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from ascjax import cli
from ascjax.cli import CONFIG, FOLDS, WORKDIR
from ascjax.errors import UserError
from ascjax.runs import folder

flags.adopt_module_key_flags(cli)


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags.

    Raises:
      UserError: a config file that isn't there, an unknown flag or key, or a value of a wrong type.
    """
    config_file = cli.config_file(argv)
    if config_file is not None:
        cli.check_keys(config_file, argv)
    rest = cli.parse(argv)
    if config_file is None:
        raise UserError("expected --config=FILE, e.g. --config=configs/quickstart.py, got none")
    return rest


def main(argv: Sequence[str]) -> None:
    """Runs the main job and prints the result table and the report's path."""
    del argv
    # JAX takes seconds to import; a mistyped flag is answered before that.
    from ascjax.report import text
    from ascjax.runs import experiment, folds

    config_file = config_flags.get_config_filename(flags.FLAGS["config"])
    workdir = Path(WORKDIR.value or Path("runs") / Path(config_file).stem)
    if FOLDS.value:
        print(folds.train_folds(CONFIG.value, workdir))
        return
    page = experiment.train_and_evaluate(CONFIG.value, workdir)
    results, about = folder.read_results(workdir), folder.read_run(workdir)
    print(text.table(results, synthetic=about["synthetic"]))
    for name, reason in about["left_out"].items():
        print(f"left out: {name}: {reason}")
    for where, peak_gb in results.get("peak_memory_gb", {}).items():
        print(f"peak memory of the {where}: {peak_gb:.2f} GB")
    print(f"report: {page}")


if __name__ == "__main__":
    cli.run(main, parse)
