"""Predicts the scenes of audio files.

  ascjax predict --run=DIR FILE_OR_FOLDER... [--csv]

The run folder alone is enough, without its data set. A recording counts with its first seconds, as
many as in training; a shorter one is repeated to fill them. --submission=out.csv writes what DCASE
2018 task 1 takes, from a folder of unlabelled audio.
"""

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ascjax import cli
from ascjax.audio.wave import SUFFIXES, BadRecording
from ascjax.cli import Parser, folder
from ascjax.data.layouts import is_audio
from ascjax.errors import UserError, choose
from ascjax.files import check_new, write_text
from ascjax.report.text import counted, label, percent
from ascjax.runs import folder as run_folder
from ascjax.scoring.fusion import fuse


class Form(NamedTuple):
    """How a submission is written: its header, if any, and the name of a file in it.

    As the organisers' own baseline writes them: github.com/DCASE-REPO/dcase2018_baseline,
    task1/utils.py, save_system_output.
    """

    delimiter: str
    header: list[tuple[str, str]]
    name: Callable[[Path], str]


# The challenge's system output, and its public leaderboard's on Kaggle.
FORMS = {
    "dcase": Form("\t", [], lambda file: f"audio/{file.name}"),
    "kaggle": Form(",", [("Id", "Scene_label")], lambda file: file.stem),
}


class Prediction(NamedTuple):
    """The likeliest scene of a file, and its score in 0..1."""

    file: Path
    scene: str
    score: float


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = Parser("ascjax predict", __doc__)
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER",
        help=f"audio ({', '.join(SUFFIXES)}), or folders with some at any depth")  # fmt: skip
    add("--run", type=folder, required=True, metavar="DIR", help="a finished run")
    add("--csv", action="store_true", help="print file,scene,score instead of a table")
    add("--submission", type=Path, metavar="FILE", help="write a submission instead of a table")
    add("--submission_format", default="dcase", metavar="FORMAT",
        help="dcase (audio/1.wav, tab, scene; the default) or kaggle (Id,Scene_label)")  # fmt: skip
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Predicts every file and prints or writes what came out."""
    form = choose("--submission_format", options.submission_format, FORMS)
    files = find(options.paths)
    if options.submission:
        _check_names(files, form)
        check_new(options.submission, "--submission")
    predictions, bad = _predict(options.run, files)
    for error in bad:
        print(error, file=sys.stderr)
    unread = f"{len(bad)} of {len(files)} files can't be read"
    if options.submission and bad:
        raise UserError(
            f"{unread}, and a submission needs every one: {options.submission} isn't written"
        )
    if options.submission:
        named = [(form.name(file), scene) for file, scene, _ in predictions]
        text = _delimited([*form.header, *named], form.delimiter)
        write_text(options.submission, text)
        print(f"submission of {counted(len(named), 'file')}: {options.submission}")
    elif options.csv:
        rows = [(file, scene, f"{score:.6f}") for file, scene, score in predictions]
        print(_delimited([Prediction._fields, *rows], ","), end="")
    else:
        _print_table(predictions)
    if bad:
        raise UserError(f"{unread}; what they are is said above, the others are done")


def find(paths: Iterable[Path]) -> list[Path]:
    """Returns files as they are, folders as the audio files below them by name, each file once.

    Raises:
      UserError: a folder has none.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if is_audio(file.name))
        if not inside:
            raise UserError(
                f"{path}: expected audio files ({', '.join(SUFFIXES)}) in this folder, found none"
            )
        files += inside
    return list(dict.fromkeys(files))


def _check_names(files: Iterable[Path], form: Form) -> None:
    (name, count), *_ = Counter(map(form.name, files)).most_common(1)
    if count > 1:
        raise UserError(
            f"--submission: {count} files would be called {name!r} in it; give a folder in which "
            "each name is there once"
        )


def _predict(run_dir: Path, files: list[Path]) -> tuple[list[Prediction], list[BadRecording]]:
    # JAX takes seconds to import; what is wrong with the command is said before that.
    run_folder.read_results(run_dir)
    from ascjax.runs import predictor

    model = predictor.load(run_dir)
    predictions, bad = [], list[BadRecording]()
    bar = tqdm(model.each(files, bad), total=len(files), unit="file", desc="predict")
    for file, posteriors in bar:
        scores = fuse(posteriors[None], **model.fusion)[0]
        best = int(scores.argmax())
        predictions.append(Prediction(file, model.scenes[best], float(scores[best])))
    return predictions, bad


def _print_table(predictions: Iterable[Prediction]) -> None:
    rows = [(str(file), label(scene), percent(score)) for file, scene, score in predictions]
    rows.insert(0, Prediction._fields)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for file, scene, score in rows:
        print(f"{file:{widths[0]}}  {scene:{widths[1]}}  {score:>{widths[2]}}")


def _delimited(rows: Iterable[Sequence], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    cli.run(main, parse)
