"""Converts torchvision's ImageNet weights, proven equal to the source block by block.

  ascjax convert vgg16 --source vgg16-397923af.pth --out weights/

Without --source torchvision's default is downloaded.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ascjax import signals
from ascjax.cli import Parser
from ascjax.errors import UserError, choose
from ascjax.files import as_path


def main(argv: Sequence[str]) -> int:
    """Runs the command line ``argv``, the program first; returns the exit code, 2 for a mistake."""
    # Nothing here gains from an accelerator, and on one the products may be less exact.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        _run(_parser().parse(argv))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 128 + (signals.heard() or signal.SIGINT)
    return 0


def _run(options: argparse.Namespace) -> None:
    from . import job, keymaps, show  # JAX takes seconds to import: not before parsing

    if options.list:
        print(show.listing(options.out))
    elif options.show:
        print(show.describe(options.show))
    elif options.name is None:
        raise UserError("which architecture? `ascjax convert --list` shows them all")
    else:
        choose("architecture", options.name, keymaps.KEY_MAPS)
        request = job.Request(options.name, options.source, options.key, options.licence)
        job.convert(request, options.out, prove=not options.no_proof)


def _parser() -> Parser:
    parser = Parser("ascjax convert", __doc__)
    parser.add_argument("name", nargs="?", help="architecture, see --list")
    parser.add_argument(
        "--source",
        type=as_path,
        help="torch checkpoint, safetensors, or a folder or index of shards; without it, "
        "torchvision's default",
    )
    parser.add_argument("--key", help="wrapper or prefix to take, where --source holds several")
    parser.add_argument("--out", type=as_path, default=Path("weights"), help="folder (weights)")
    parser.add_argument("--no-proof", action="store_true", help="needs no torchvision")
    parser.add_argument("--licence", help="of the weights (what the source states)")
    parser.add_argument("--list", action="store_true", help="all architectures, and what --out has")
    parser.add_argument("--show", type=as_path, metavar="FILE", help="what a converted file says")
    return parser


if __name__ == "__main__":
    # Ends as an exception would, so that no half-written file stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv))
