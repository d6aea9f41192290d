"""Exports a finished run as one graph from waveform to scores, in a folder ready to be published.

The folder has the model, its labels, predict.py, which runs it without ascjax, and README.md, a
model card for a hub. The model is compared with the run on recordings before anything is kept.
StableHLO needs JAX to run, ONNX any of its runtimes.
"""

import argparse
from collections.abc import Sequence

from ascjax import cli
from ascjax.errors import choose
from ascjax.files import as_path
from ascjax.runs.exported import MODEL_FILES

EXAMPLES = """examples:
  ascjax export --run=runs/mine --format=onnx --out=mine
  ascjax export --run=runs/mine --format=onnx --out=mine_int8 --quantise
  ascjax predict --run=mine FILE_OR_FOLDER..."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = cli.Parser("ascjax export", __doc__, epilog=EXAMPLES)
    add = parser.add_argument
    add("--run", metavar="DIR", help="a finished run, or a network that comes with ascjax")
    add("--format", metavar="NAME", help=" or ".join(MODEL_FILES))
    add("--out", type=as_path, metavar="DIR", help="the folder to make")
    add("--quantise", action="store_true", help="kernels in int8; says what accuracy it costs")
    add(
        "--verify_on",
        type=as_path,
        metavar="PATH",
        help="recordings to compare on; by default some of the run's test part",
    )
    add(
        "--data",
        type=as_path,
        metavar="DIR",
        help="where the run's data set is now, if it has moved",
    )
    add("--licence", default="", metavar="NAME", help="of the weights, e.g. cc-by-4.0")
    add("--data_licence", default="", metavar="TEXT", help="of the recordings")
    options = parser.parse(argv)
    cli.require(options, run="runs/mine", format="onnx", out="mine")
    choose("--format", options.format, dict.fromkeys(MODEL_FILES))
    return options


def main(options: argparse.Namespace) -> None:
    """Writes the folder and prints what it was compared on."""
    # JAX takes seconds to import; a mistyped flag is answered before that.
    from ascjax.deploy import folder

    made = folder.write(
        options.run,
        options.out,
        kind=options.format,
        quantise=options.quantise,
        verify_on=options.verify_on,
        data=options.data,
        licences=folder.Licences(options.licence, options.data_licence),
    )
    print(
        f"compared on {made.compared_on}: largest difference of a score or posterior "
        f"{made.difference:.1e}"
    )
    if made.accuracy is not None:
        before, after, total = made.accuracy
        print(f"test part: {after} of {total} right with int8 kernels, {before} with float32")
    size_mb = (options.out / MODEL_FILES[made.kind]).stat().st_size / 1e6
    print(f"{options.out}: {MODEL_FILES[made.kind]} of {size_mb:.1f} MB, README.md, predict.py")


if __name__ == "__main__":
    cli.run(main, parse)
