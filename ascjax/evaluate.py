"""Scores a finished run with other fusions, fewer channels or another number of fragments.

  ascjax evaluate --run=DIR --fusion=log_mean --channels=left,right

Fusions and channels are computed from the run's posteriors, without the model. --test_fragments
runs the model on the data set (the paper's section 4.3).
"""

import argparse
from collections.abc import Sequence

from ascjax import cli, records
from ascjax.cli import Parser, folder
from ascjax.files import as_path, check_new
from ascjax.report import text
from ascjax.runs import rescore
from ascjax.runs.run import Run
from ascjax.scoring.fusion import METHODS
from ascjax.scoring.results import Results
from ascjax.words import counted


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = Parser("ascjax evaluate", __doc__)
    add = parser.add_argument
    methods = f"{', '.join(METHODS)}; default: the run's"
    add("--run", type=folder, required=True, metavar="DIR", help="a finished run")
    add("--fusion", metavar="METHOD", help=f"how fragments are fused: {methods}")
    add("--channel_fusion", metavar="METHOD", help=f"how channels are fused after that: {methods}")
    add("--channels", metavar="NAMES", help="e.g. left,right; default: all of the run's")
    add("--test_fragments", type=int, metavar="N", help="run the model on N fragments a recording")
    add("--data_root", metavar="DIR", help="where the run's data set is now, if it has moved")
    add("--out", type=as_path, metavar="FILE", help="write the results as JSON too, to a new file")
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Prints the results of what was asked, and its accuracy beside the run's own."""
    if options.out:
        check_new(options.out, "--out")
    run = Run.open(options.run)
    rescored = rescore.rescore(
        run,
        fusion=options.fusion,
        channel_fusion=options.channel_fusion,
        channels=options.channels,
        test_fragments=options.test_fragments,
        data_root=options.data_root,
    )
    print(text.table(rescored, synthetic=run.info.data.synthetic))
    accuracies = {
        _settings(rescored): rescored.accuracy,
        f"the run: {_settings(run.results)}": run.results.accuracy,
    }
    print("\n" + text.accuracies(accuracies))
    test = rescored.mcnemar
    print(
        f"alone right on {counted(test.only_a, 'recording')}, the run alone on "
        f"{test.only_b:,}; McNemar's test: p = {test.p:.2g}"
    )
    if clustered := rescored.mcnemar_by_location:
        print(
            f"by location, better at {clustered.favour_a:,} of {clustered.clusters:,}, the run at "
            f"{clustered.favour_b:,}; McNemar's test for clusters: p = {clustered.p:.2g}"
        )
    if options.out:
        records.write(options.out, rescored)
        print(f"\nresults: {options.out}")


def _settings(results: Results) -> str:
    by, count = results.fusion, counted(results.fragments, "fragment")
    return f"{by.fragments} over {count}, {by.channels} over {', '.join(results.channels)}"


if __name__ == "__main__":
    cli.run(main, parse)
