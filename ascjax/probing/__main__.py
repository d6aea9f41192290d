"""Tells what each block of a trunk knows of the scenes: a linear probe on its pooled features.

  ascjax probe --config=esc10_vgg --config.data.root=DIR --folds=all
    --config.init.weights=imagenet

The trunk stays as it starts: from the converted weights that the config names, and from random ones
beside them. Log-mels are normalised as in training, by each fold's training part; its inner folds
choose the regularisation. Writes probes.json, probes.png and the features (npz) into --workdir,
from which a stopped call goes on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ascjax import cli, records
from ascjax.config import find_config, load_config
from ascjax.files import as_path, write_bytes

USAGE = """ascjax probe --config=NAME_OR_FILE [--config.KEY=VALUE ...]
                    [--workdir=DIR] [--folds=all]"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; ``config`` of the options is the ConfigDict, overrides included.

    Raises:
      UserError: no or no loadable config, an unknown flag or key, or a value of a wrong type.
    """
    parser = cli.Parser("ascjax probe", __doc__, usage=USAGE)
    add = parser.add_argument
    add("--config", metavar="NAME_OR_FILE", help="as of `ascjax train`")
    add("--workdir", type=as_path, metavar="DIR", help="default: runs/CONFIG_probes")
    add("--folds", choices=["all"], help="probe every fold of the set and pool the results")
    words, overrides = cli.split_overrides(argv)
    options = parser.parse(words)
    cli.require(options, config="esc10_vgg")
    name = find_config(options.config).stem
    options.workdir = options.workdir or Path("runs") / f"{name}_probes"
    options.config = load_config(options.config, overrides)
    return options


def main(options: argparse.Namespace) -> None:
    """Probes every block, prints a table and writes the files."""
    # JAX takes seconds to import; a mistyped flag is answered before that.
    from ascjax.probing import blocks
    from ascjax.report import plots

    found = blocks.probe_blocks(options.config, options.workdir, all_folds=options.folds == "all")
    records.write(options.workdir / "probes.json", found)
    summaries = {start: [each.summary for each in probes] for start, probes in found.starts.items()}
    names = [each.block for each in next(iter(found.starts.values()))]
    figure = plots.probes(names, summaries, chance=1 / len(found.scenes))
    write_bytes(options.workdir / "probes.png", plots.encode(figure, "png", dpi=300))
    print(blocks.table(found))
    print(f"figure: {options.workdir}/probes.png")


if __name__ == "__main__":
    cli.run(main, parse)
