"""Writes the pooled features of each window of recordings, from a trained network.

  ascjax embed --run=DIR --out=features.npz FILE_OR_FOLDER...

Recordings are cut into windows as by `ascjax predict`. The file holds the arrays recording, start_s
and features (npz), or a column of each (Parquet).
"""

import argparse
import importlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ascjax import cli
from ascjax.audio.errors import BadRecording
from ascjax.audio.finding import find, finish, readable
from ascjax.errors import UserError, choose
from ascjax.files import as_path, check_new, write_arrays, write_bytes
from ascjax.runs.loading import open_classifier
from ascjax.runs.predictor import Embeddings
from ascjax.words import counted


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    parser = cli.Parser("ascjax embed", __doc__)
    add = parser.add_argument
    add("paths", nargs="+", type=as_path, metavar="FILE_OR_FOLDER", help="audio, or folders of it")
    add("--run", metavar="DIR", help="see `ascjax predict`")
    add("--out", type=as_path, metavar="FILE", help="a new file, .npz or .parquet")
    add("--hop_s", type=cli.seconds, metavar="S", help="see `ascjax predict`")
    options = parser.parse(argv)
    cli.require(options, out="features.npz")
    choose("--out", options.out.suffix, WRITERS)
    return options


def main(options: argparse.Namespace) -> None:
    """Embeds every recording and writes the file."""
    check_new(options.out, "--out")
    if options.out.suffix == ".parquet":
        _pyarrow()
    classifier = open_classifier(options.run)
    files = find(options.paths)
    good, bad = readable(files)
    late: list[BadRecording] = []
    if good:
        embeddings = classifier.embed(good, hop_s=options.hop_s, bad=late)
        for error in late:
            print(error, file=sys.stderr)
        if embeddings.source:
            WRITERS[options.out.suffix](options.out, embeddings)
            windows, width = embeddings.features.shape
            print(f"{counted(windows, 'window')} × {width:,} features: {options.out}")
    finish([*bad, *late], len(files))


def _write_npz(path: Path, embeddings: Embeddings) -> None:
    write_arrays(
        path,
        recording=np.array(embeddings.source),
        start_s=embeddings.start_s,
        features=embeddings.features,
    )


def _write_parquet(path: Path, embeddings: Embeddings) -> None:
    pyarrow = _pyarrow()
    width = embeddings.features.shape[1]
    table = pyarrow.table({
        "recording": list(embeddings.source),
        "start_s": embeddings.start_s,
        "features": pyarrow.FixedSizeListArray.from_arrays(embeddings.features.ravel(), width),
    })  # fmt: skip
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content)
    write_bytes(path, content.getvalue())


def _pyarrow() -> Any:
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError("Parquet needs pyarrow: pip install 'ascjax[parquet]'") from None
    return importlib.import_module("pyarrow")


WRITERS = {".npz": _write_npz, ".parquet": _write_parquet}


if __name__ == "__main__":
    cli.run(main, parse)
