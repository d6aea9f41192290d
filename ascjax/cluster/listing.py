"""The recordings that SOURCE names: a folder's, a bucket's, or those of a table of paths."""

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ascjax.audio.finding import walk
from ascjax.audio.formats import SUFFIXES, is_audio
from ascjax.cluster import storage
from ascjax.errors import UserError, nearest
from ascjax.files import is_url

_TABLES = {".parquet": "", ".csv": ",", ".tsv": "\t"}


def find(source: str) -> Iterator[str]:
    """Yields the paths or URLs of the recordings that SOURCE names, each once.

    Args:
      source: a folder or bucket, with audio at any depth; or a CSV or Parquet file with a column
        ``path``, whose relative paths begin at its own folder.

    Raises:
      UserError: it can't be read, names none, or a path twice.
    """
    fs, root = storage.open_folder(source)
    suffix = os.path.splitext(root)[1].lower()
    is_table = suffix in _TABLES
    if not (is_table or is_url(source)) and os.path.isfile(root):
        raise UserError(
            f"{source}: expected a folder, a bucket, or a list of paths "
            f"({', '.join(_TABLES)}), got a file"
        )
    found = False
    with storage.errors_named(source):
        for path in _of_table(fs, root, source) if is_table else _of_folder(fs, root, source):
            found = True
            yield path
    if not found:
        raise UserError(
            f"{source}: expected audio files ({', '.join(SUFFIXES)}) in this folder, or a .csv or "
            ".parquet file that lists some, found none"
        )


def _of_folder(fs: Any, root: str, source: str) -> Iterator[str]:
    """Yields the audio files of a folder, without those in hidden ones."""
    local = not is_url(source)
    if local and not os.path.isdir(root):
        raise FileNotFoundError
    folders: Iterable[Any] = walk(Path(root)) if local else fs.walk(root, on_error="raise")
    for folder, inner, files in folders:
        if local:
            inner[:] = [name for name in inner if not name.startswith(".")]
        if any(part.startswith(".") for part in str(folder).removeprefix(root).split("/")):
            continue
        for name in sorted(files):
            if is_audio(name):
                path = f"{folder}/{name}"
                yield path if local else fs.unstrip_protocol(path)


def _of_table(fs: Any, root: str, source: str) -> Iterator[str]:
    """Yields a table's paths, of which it keeps eight bytes each."""
    seen = array("q", (hash(path) for path in _paths(fs, root, source)))
    hashes, counts = np.unique(np.frombuffer(seen, np.int64), return_counts=True)
    doubtful = set(hashes[counts > 1].tolist())
    if doubtful:  # of a few paths in a billion by chance
        found: Counter[str] = Counter()
        for row, path in enumerate(_paths(fs, root, source), start=1):
            if hash(path) in doubtful:
                found[path] += 1
                if found[path] > 1:
                    raise UserError(
                        f"{source}, row {row}: {path} is there twice; list each path once"
                    )
    yield from _paths(fs, root, source)


def _paths(fs: Any, root: str, source: str) -> Iterator[str]:
    """Yields the paths of a table: URLs as they are, others from its own folder on."""
    import pyarrow
    from pyarrow import csv, dataset

    delimiter = _TABLES[os.path.splitext(root)[1].lower()]
    form: Any = "parquet"
    if delimiter:
        form = dataset.CsvFileFormat(
            csv.ParseOptions(delimiter=delimiter),
            convert_options=csv.ConvertOptions(column_types={"path": pyarrow.string()}),
        )
    here = (source if is_url(source) else os.path.abspath(source)).rpartition("/")[0]
    row = 0
    try:
        table = dataset.dataset(root, format=form, filesystem=fs)
        if "path" not in table.schema.names:
            raise UserError(
                f"{source}: expected a column 'path', its columns are "
                f"{', '.join(table.schema.names)}{nearest('path', table.schema.names)}"
            )
        for batch in table.to_batches(columns=["path"]):
            for value in batch["path"].to_pylist():
                row += 1
                if not value:
                    raise UserError(f"{source}, row {row}: expected a path, got none")
                yield _placed(here, os.fsdecode(value) if isinstance(value, bytes) else str(value))
    except pyarrow.ArrowInvalid as error:
        reason = str(error).rpartition("Invalid: ")[2].partition("\n")[0]
        raise UserError(f"{source}: expected a table ({reason})") from None


def _placed(folder: str, path: str) -> str:
    if is_url(path):
        return path
    if is_url(folder) and not os.path.isabs(path):
        protocol, _, rest = folder.partition("://")
        return f"{protocol}://{os.path.normpath(os.path.join(rest, path))}"
    return os.path.normpath(os.path.join(folder, path))
