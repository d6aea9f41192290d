"""Downloads a published data set into a folder.

  ascjax fetch tut2018 --to=DIR

Every file is checked against the record's MD5 sum; archives are unpacked and then removed. Started
again after a stop, it goes on where it was. Read the licence that it shows before you use the data.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ascjax import cli
from ascjax.errors import UserError, choose
from ascjax.fetch import download, zenodo
from ascjax.fetch.sets import SETS
from ascjax.files import as_path, exclusive
from ascjax.words import counted


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    sets = "\n".join(f"  {name:12}{each.title}" for name, each in SETS.items())
    parser = cli.Parser("ascjax fetch", __doc__, epilog=f"sets:\n{sets}")
    add = parser.add_argument
    add("set", metavar="SET", help="one of those below")
    add("--to", type=as_path, metavar="DIR", help="folder to download into")
    add("--dry_run", action="store_true", help="show files, sizes and licence; download nothing")
    add("--api", default=zenodo.API, metavar="URL", help="another server with Zenodo's interface")
    options = parser.parse(argv)
    options.set = choose("set", options.set, SETS)
    if not options.dry_run:
        cli.require(options, to="data/tut2018")
    return options


def main(options: argparse.Namespace) -> None:
    """Shows the record, and downloads what isn't there yet."""
    record = zenodo.read_record(options.set.record, options.api)
    total = sum(file.size for file in record.files)
    print(record.title)
    print(f"licence: {record.licence}" if record.licence else "licence not stated")
    print(f"{counted(len(record.files), 'file')}, {total / 1e9:,.2f} GB")
    if options.dry_run:
        for file in record.files:
            print(f"  {file.size / 1e6:10,.1f} MB  {file.name}")
        return
    folder = options.to
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder, "downloading"):
            _fetch(record, folder)
    except OSError as error:
        raise UserError(f"--to={folder}: cannot be written ({error.strerror})") from None
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    root = folder / inside[0] if len(inside) == 1 else folder
    evaluation = options.set.evaluation
    print(f"done; next: ascjax {'predict --run=DIR' if evaluation else 'describe'} {root}")
    if options.set.note:
        print(options.set.note)


def _fetch(record: zenodo.Record, folder: Path) -> None:
    wanted = [file for file in record.files if not download.is_done(file, folder)]
    largest = max((file.size for file in wanted), default=0)
    left = sum(file.size - download.there(file, folder) for file in wanted)
    needed, free = left + largest, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"--to={folder}: needs {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free; choose "
            "another disk"
        )
    with tqdm(total=sum(file.size for file in wanted), unit="B", unit_scale=True) as bar:
        for file in wanted:
            bar.set_description(file.name)
            download.fetch(file, folder, bar.update)


if __name__ == "__main__":
    cli.run(main, parse)
