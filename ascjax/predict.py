"""Predicts the scenes of recordings of any length, window by window.

  ascjax predict dog.ogg
  ascjax predict --run=DIR --format=csv --out=scenes.csv FOLDER
  arecord -f S16_LE -r 44100 | ascjax predict - --rate=44100
  ascjax predict --run=DIR --on=ray s3://BUCKET/FOLDER --out=DEST

The run folder alone is enough, without its data set; a folder of a set's folds stands for all of
their networks. Without --run it takes the small network that ships with ascjax, which knows the ten
sounds of ESC-10.
A recording is cut into windows as long as those of training; one that is shorter is repeated. The
score is the mean over windows. What can't be decided is "unknown": silence, sounds unlike all of
training, and with --min_score or --accuracy low scores.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ascjax import cli
from ascjax.audio.errors import BadRecording, display
from ascjax.audio.finding import STDIN, find, finish, readable
from ascjax.audio.formats import SUFFIXES
from ascjax.audio.raw import ENCODINGS, RawFormat
from ascjax.cluster import flags
from ascjax.errors import UserError, choose
from ascjax.files import as_path, check_new, is_url, output
from ascjax.report.predictions import FORMS, LABELS, Columns
from ascjax.report.submission import SUBMISSIONS
from ascjax.runs import sources
from ascjax.runs.loading import DEFAULT_RUN, open_classifier
from ascjax.runs.predictor import PARTS, Classifier
from ascjax.runs.verdict import Prediction, Scored
from ascjax.words import counted

T = TypeVar("T")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = cli.Parser("ascjax predict", __doc__)
    add = parser.add_argument
    add("paths", nargs="+", type=_location, metavar="FILE_OR_FOLDER",
        help=f"audio ({', '.join(SUFFIXES)}), folders with some at any depth, or - for standard "
        "input; with --on=ray one folder, bucket, or .csv or .parquet file of paths")  # fmt: skip
    add("--run", metavar="DIR",
        help=f"a finished run, a folder of folds, or a network's name ({DEFAULT_RUN})")  # fmt: skip
    add("--hop_s", type=cli.seconds, metavar="S",
        help="seconds from one window to the next; default: a window's length")  # fmt: skip
    add("--timeline", action="store_true", help="write every window instead of one decision a file")
    add("--by", type=cli.names, default=[], metavar="PARTS",
        help="with --timeline: score fragment, channel, or fragment,channel alone")  # fmt: skip
    add("--rate", type=_rate, metavar="HZ",
        help="of raw samples through standard input; a line for each window at once")  # fmt: skip
    add("--columns_raw", type=cli.count, default=1, metavar="N", help="columns of raw samples")
    add("--encoding", default="s16le", metavar="NAME",
        help=f"of raw samples: {' or '.join(ENCODINGS)}")  # fmt: skip
    _add_answers(parser)
    _add_output(parser)
    add = flags.add_placement(parser)
    add("--per_part", type=cli.count, metavar="N",
        help="recordings of a Parquet file, done anew after a kill; default: 256")  # fmt: skip
    add("--again", action="store_true", default=None,
        help="predict parts anew that had recordings that couldn't be read")  # fmt: skip
    options = parser.parse(argv)
    flags.check(options)
    (_check_bulk if options.on else _check)(options)
    return options


def _add_answers(parser: cli.Parser) -> None:
    group = parser.add_argument_group("when to answer")
    least = group.add_mutually_exclusive_group()
    least.add_argument(
        "--min_score", type=_share, metavar="X", help="a lower score is answered with unknown"
    )
    least.add_argument(
        "--accuracy",
        type=_share,
        metavar="X",
        help="answer only where this share of answers is right: 0.8, 0.9, 0.95 or 0.99",
    )
    group.add_argument(
        "--coverage",
        type=_share,
        metavar="X",
        help="add the set of scenes that holds the true one at this rate, e.g. 0.9",
    )


def _add_output(parser: cli.Parser) -> None:
    add = parser.add_argument_group("output").add_argument
    add("--format", default="table", metavar="NAME", help=", ".join(FORMS))
    add("--top", type=cli.count, metavar="K", help="write the K largest scores, not all of them")
    add("--out", type=_location, metavar="FILE", help="a new file, instead of standard output; "
        "with --on=ray a folder or bucket, for Parquet")  # fmt: skip
    add("--submission", type=as_path, metavar="FILE", help="write a DCASE submission instead")
    add("--submission_format", default="dcase", metavar="FORMAT",
        help="dcase (audio/1.wav, tab, scene; the default) or kaggle (Id,Scene_label)")  # fmt: skip


def _check(options: argparse.Namespace) -> None:
    """Raises UserError for options that don't go together."""
    choose("--format", options.format, FORMS)
    choose("--submission_format", options.submission_format, SUBMISSIONS)
    for part in options.by:
        choose("--by", part, dict.fromkeys(PARTS))
    if options.by and not (options.timeline or options.format in LABELS or options.rate):
        raise UserError("--by: goes with --timeline")
    for location in (*options.paths, options.out, options.run):
        if location and is_url(location):
            raise UserError(f"{location}: what is in a bucket needs --on=ray")
    if options.paths.count(STDIN) > 1:
        raise UserError("-: standard input can be given once")
    if options.rate and options.paths != [STDIN]:
        raise UserError("--rate: is that of raw samples through standard input, -; files have one")
    if STDIN in options.paths and sys.stdin.isatty():
        raise UserError("-: expected audio through standard input, got a terminal")
    if options.submission and (STDIN in options.paths or options.out or _of_windows(options)):
        raise UserError(
            "--submission: takes files and folders, and neither --out nor --timeline nor a format "
            f"of labels, {' or '.join(LABELS)}"
        )


def _check_bulk(options: argparse.Namespace) -> None:
    """Raises UserError for options that don't go with --on=ray."""
    cli.require(options, out="DEST")
    if len(options.paths) > 1 or STDIN in options.paths:
        raise UserError("--on=ray: takes one SOURCE: a folder, a bucket, or a list of paths")
    for name in ("timeline", "by", "rate", "coverage", "top", "submission"):
        if getattr(options, name):
            raise UserError(f"--{name}: doesn't go with --on=ray, which writes every score")
    if options.format != "table":
        raise UserError(f"--format={options.format}: --on=ray writes Parquet; leave it out")


def _bulk(options: argparse.Namespace) -> None:
    """Predicts on a Ray cluster, into Parquet."""
    from ascjax.cluster import bulk, storage

    classifier = open_classifier(options.run and storage.staged(options.run))
    min_score, _ = _thresholds(options, classifier)
    source, out = (
        str(each) if is_url(each) else os.path.abspath(each)
        for each in (options.paths[0], options.out)
    )
    run = options.run
    if run and os.path.exists(run):
        run = os.path.abspath(run)
    count, unreadable = bulk.predict(
        source,
        out,
        run,
        classifier,
        hop_s=options.hop_s,
        min_score=min_score,
        per_part=options.per_part or 256,
        again=bool(options.again),
        address=options.address,
    )
    print(f"{counted(count, 'recording')}: {options.out}/predictions")
    if unreadable:
        raise UserError(
            f"{unreadable:,} of {counted(count, 'recording')} can't be read, as "
            f"{options.out}/unreadable says; the others are done, and --again tries these again"
        )


def main(options: argparse.Namespace) -> None:
    """Predicts every recording and prints or writes what came out."""
    if options.on:
        return _bulk(options)
    for flag in ("out", "submission"):
        if path := getattr(options, flag):
            check_new(path, f"--{flag}")
    classifier = open_classifier(options.run)
    min_score, set_threshold = _thresholds(options, classifier)
    files = find(options.paths)
    _check_number(options, files)
    if options.submission:
        SUBMISSIONS[options.submission_format].check_names(files)
    good, bad = readable(files)
    if options.submission:
        _submit(options, classifier, good, bad)
    elif good:
        columns = Columns(
            classifier.scenes,
            timeline=_of_windows(options),
            by=options.by,
            top=options.top and min(options.top, len(classifier.scenes)),
            set_threshold=set_threshold,
            name_width=max(len(display(file)) for file in good),
        )
        form = FORMS[options.format](columns)
        with output(options.out) as write:
            write(form.header())
            for name, scored in _rows(options, classifier, good, min_score, bad):
                write(form.row(name, scored))
    finish(bad, len(files))


def _thresholds(options: argparse.Namespace, classifier: Classifier) -> tuple[float, float | None]:
    """Returns the least score that is answered, and the threshold of sets, if any are wanted."""
    min_score = options.min_score or 0.0
    if options.accuracy is not None:
        min_score = classifier.least_score(classifier.threshold(options.accuracy))
        print(
            f"--accuracy={options.accuracy:g}: scores of {min_score:.3f} or more", file=sys.stderr
        )
    if options.coverage is None:
        return min_score, None
    return min_score, classifier.set_threshold(options.coverage)


def _of_windows(options: argparse.Namespace) -> bool:
    return options.timeline or options.format in LABELS or options.rate is not None


def _check_number(options: argparse.Namespace, files: Sequence[Path]) -> None:
    if options.format in LABELS and len(files) > 1:
        raise UserError(
            f"--format={options.format}: has the labels of one recording, got {len(files):,}; call "
            "it for each, or take csv or json"
        )


def _rows(
    options: argparse.Namespace,
    classifier: Classifier,
    files: Sequence[Path],
    min_score: float,
    bad: list[BadRecording],
) -> Iterator[tuple[str, Scored]]:
    """Yields name and scores of each recording or window; bad ones are printed and kept."""
    recordings = [_opened(file) for file in files]
    answers: Iterator[tuple[str, Scored | BadRecording]]
    if _of_windows(options):
        raw = None
        if options.rate is not None:
            raw = RawFormat(options.rate, options.columns_raw, options.encoding)
        answers = classifier.timelines(
            recordings, hop_s=options.hop_s, by=options.by, min_score=min_score, raw=raw
        )
        answers = _until_interrupted(answers) if raw else answers
    else:
        decisions = classifier.each(recordings, hop_s=options.hop_s, min_score=min_score)
        answers = zip(map(sources.name, recordings), decisions, strict=True)
    if options.out is not None and not _of_windows(options):
        # Takes a tenth of a second to import, and would write between the rows on a terminal.
        from tqdm import tqdm

        answers = tqdm(answers, total=len(files), unit="file", desc="predict", disable=None)
    repeated = 0
    for name, answer in answers:
        if isinstance(answer, BadRecording):
            print(answer, file=sys.stderr)
            bad.append(answer)
            continue
        repeated += isinstance(answer, Prediction) and bool(answer.note)
        yield name, answer
    if repeated:
        print(
            f"{counted(repeated, 'recording')} shorter than a window of {classifier.window_s:g} s, "
            "repeated to fill it",
            file=sys.stderr,
        )


def _opened(file: Path) -> sources.Source:
    return sys.stdin.buffer if file == STDIN else file


def _until_interrupted(answers: Iterator[T]) -> Iterator[T]:
    """Ends a microphone's stream with Ctrl-C, as the end of its data does."""
    try:
        yield from answers
    except KeyboardInterrupt:
        return


def _submit(
    options: argparse.Namespace,
    classifier: Classifier,
    files: Sequence[Path],
    bad: list[BadRecording],
) -> None:
    """Writes a submission of every file, or nothing."""
    scenes = [] if bad else [s.likeliest for _, s in _rows(options, classifier, files, 0.0, bad)]
    if bad:
        raise UserError(
            f"{counted(len(bad), 'recording')} can't be read, as said above, and a submission "
            f"needs every one: {options.submission} isn't written"
        )
    form = SUBMISSIONS[options.submission_format]
    form.write(options.submission, zip(files, scenes, strict=True))
    print(f"submission of {counted(len(files), 'file')}: {options.submission}")


def _location(text: str) -> Path | str:
    """Returns a path, or a URL as it is."""
    return text if is_url(text) else as_path(text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return value


def _rate(text: str) -> int:
    try:
        return sources.check_rate(int(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    cli.run(main, parse)
