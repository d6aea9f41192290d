"""Draws the paper's figures from your own recordings and runs.

  ascjax figures spectrogram a.wav b.wav --out=figure3.pdf

spectrogram is Figure 3, confusion Figure 4, fragments the analysis of section 4.3.
"""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ascjax import cli
from ascjax.cli import Parser, folder
from ascjax.errors import UserError, choose
from ascjax.files import as_path, write_bytes
from ascjax.runs.folder import read_results, read_run, restore_front_end
from ascjax.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# How a file of each format begins.
FORMATS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
DPI = 300
DEFAULT_OUT = {
    "spectrogram": "figure3.png",
    "confusion": "figure4.pdf",
    "fragments": "fragments.pdf",
}
# A confusion matrix of more scenes is drawn over two columns.
MAX_SCENES_IN_A_COLUMN = 12


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    figure = argv[1] if len(argv) > 1 else ""
    if figure not in ("-h", "--help"):
        choose("figure", figure, FIGURES)
    return _parser().parse(argv)


def _parser() -> Parser:
    parser = Parser("ascjax figures", __doc__)
    figures = parser.add_subparsers(dest="figure", metavar="FIGURE", required=True)

    def add(name: str, about: str) -> Parser:
        figure = figures.add_parser(name, help=about, description=f"Draws {about}.")
        figure.add_argument("--out", type=as_path, metavar="FILE", help=(
            f".png ({DPI} dpi), .svg or .pdf; default: {DEFAULT_OUT[name]}, in the folder of the "
            "run if one is given, else in this"
        ))  # fmt: skip
        figure.add_argument("--columns", type=int, choices=(1, 2), help=(
            "a paper's columns to span: 3.4 or 7 inches; default: by what there is to show"
        ))  # fmt: skip
        return figure

    spectrogram = add("spectrogram", "log-mel spectrograms of recordings")
    spectrogram.add_argument("files", nargs="+", metavar="FILE", help="wav, flac, ogg or mp3")
    spectrogram.add_argument(
        "--channel", default="average", help="left, right or average (the default)"
    )
    spectrogram.add_argument(
        "--run", type=folder, metavar="DIR", help="take this run's front end, not the paper's"
    )
    confusion = add("confusion", "the confusion matrix of a finished run")
    confusion.add_argument(
        "--normalise", action="store_true", help="percentages of the true scene, not counts"
    )
    fragments = add(
        "fragments",
        "votes of the fragments of a run's recordings, and an oracle that picks the best",
    )  # fmt: skip
    for figure in (confusion, fragments):
        figure.add_argument(
            "--run", type=folder, metavar="DIR", required=True, help="a finished run"
        )
    return parser


def main(options: argparse.Namespace) -> None:
    """Draws one figure and prints where it is."""
    out = options.out or (options.run or Path()) / DEFAULT_OUT[options.figure]
    _check_out(out)
    # matplotlib takes a second to import, JAX more; mistakes above are answered before.
    from ascjax.report import plots

    figure = FIGURES[options.figure](options)
    write_bytes(out, plots.encode(figure, out.suffix[1:].lower(), dpi=DPI))
    print(f"{options.figure}: {out}")


def _check_out(out: Path) -> None:
    """Raises UserError unless a figure can be put there with nothing but a figure lost."""
    begins = choose(f"--out={out}: suffix", out.suffix.lower(), FORMATS)
    if not out.parent.is_dir():
        raise UserError(f"--out={out}: there is no folder {out.parent}; make it or choose another")
    try:
        with out.open("rb") as file:
            there = file.read(len(begins))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"--out={out}: not a file to write ({error.strerror}); choose another name"
        ) from None
    if there != begins:
        raise UserError(
            f"--out={out}: a file that is no {out.suffix[1:].upper()} figure is there; choose "
            "another name or remove it"
        )


def _spectrogram(options: argparse.Namespace) -> "Figure":
    from ascjax.audio import wave
    from ascjax.audio.logmel import LogMel
    from ascjax.report import plots

    run = read_run(options.run) if options.run else None
    choose("--channel", options.channel, wave.CHANNELS)
    log_mels = []
    for file in options.files:
        of_run = restore_front_end(options.run, run) if run else None
        samples, rate = wave.read(file, of_run.sample_rate_hz if of_run else None)
        front_end = of_run or LogMel(rate)
        values = front_end.reference(wave.to_channels(samples, [options.channel])[0])
        log_mels.append(
            plots.LogMel(values, front_end.hop_length / rate, rate, plots.unit(front_end))
        )
    columns = options.columns or min(len(log_mels), 2)
    titles = [_title(Path(file), run.scenes if run else ()) for file in options.files]
    return plots.spectrograms(log_mels, titles=titles, columns=columns)


def _title(file: Path, scenes: Collection[str]) -> str:
    """The scene, by its folder or a name as TUT's (scene-city-...-device); else the whole name."""
    if file.parent.name in scenes:
        return file.parent.name
    scene, *others = file.stem.split("-")
    return scene if len(others) == 4 else file.stem


def _confusion(options: argparse.Namespace) -> "Figure":
    from ascjax.report import plots

    results = read_results(options.run)
    scenes = results.scenes
    columns = options.columns or (1 if len(scenes) <= MAX_SCENES_IN_A_COLUMN else 2)
    counts = np.array(results.confusion)
    return plots.confusion(counts, scenes=scenes, normalise=options.normalise, columns=columns)


def _fragments(options: argparse.Namespace) -> "Figure":
    from ascjax.report import plots, text
    from ascjax.scoring import evidence

    run = Run.open(options.run)
    results = run.results
    if results.fragments < 2:
        raise UserError(
            f"--run={options.run}: its recordings are one fragment each, so there is nothing to "
            "compare; train one with --config.fragments.count=3 or more"
        )
    found = evidence.weigh_fragments(run.posteriors, run.test_posteriors.label, by=results.fusion)
    print(text.evidence_table(found, results.scenes), end="\n\n")
    return plots.evidence(found, scenes=results.scenes, columns=options.columns or 2)


FIGURES = {"spectrogram": _spectrogram, "confusion": _confusion, "fragments": _fragments}


if __name__ == "__main__":
    cli.run(main, parse)
