"""Shows what a network makes of a sound, in a page for the browser.

  ascjax demo
  ascjax demo --run=DIR

Drop a file on the page, record, or take one of its sounds: it shows the decision, the scores by
channel, the log-mel and the timeline. Without --run it shows the small network that ships with
ascjax. The page is served to this computer alone unless --host says otherwise, and neither it nor
the browser asks anything of another; what is uploaded is removed within two hours, and at the end.
"""

import argparse
from collections.abc import Sequence

from ascjax import cli
from ascjax.deploy.serving import LOOPBACK, PORT, Limits
from ascjax.runs.loading import DEFAULT_RUN, open_classifier


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; raises UserError on a mistake in it."""
    limits = Limits()
    parser = cli.Parser("ascjax demo", __doc__)
    add = parser.add_argument
    add("--run", metavar="DIR",
        help=f"a finished run, a folder of folds, or a network's name ({DEFAULT_RUN})")  # fmt: skip
    add("--host", default=LOOPBACK, metavar="ADDRESS",
        help=f"to serve at: {LOOPBACK} (the default) for this computer alone, 0.0.0.0 for all that "
        "reach it; whoever does can use the page")  # fmt: skip
    add("--port", type=_port, default=PORT, metavar="N", help=f"default: {PORT}")
    add("--max_mb", type=cli.count, default=limits.megabytes, metavar="N",
        help=f"largest file, in megabytes; default: {limits.megabytes}")  # fmt: skip
    add("--max_s", type=cli.seconds, default=limits.seconds, metavar="S",
        help=f"longest recording, in seconds; default: {limits.seconds:g}")  # fmt: skip
    add("--at_once", type=cli.count, default=limits.at_once, metavar="N",
        help=f"recordings analysed side by side; default: {limits.at_once}")  # fmt: skip
    add("--waiting", type=cli.count, default=limits.waiting, metavar="N",
        help=f"recordings that may wait for that; default: {limits.waiting}")  # fmt: skip
    return parser.parse(argv)


def main(options: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C or SIGTERM."""
    from ascjax.deploy import page  # matplotlib takes a second to import

    page.gradio_or_error()
    limits = Limits(options.max_mb, options.max_s, options.at_once, options.waiting)
    page.serve(open_classifier(options.run), options.host, options.port, limits)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"expected 1 to 65535, got {text}")
    return port


if __name__ == "__main__":
    cli.run(main, parse)
