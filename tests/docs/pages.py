"""The code of the documentation: blocks of the pages, read and run.

```python blocks of a page share their names; ```console blocks hold commands after ``$ ``, and what
the command prints. A page is run block by block, in a folder that has what its commands name. The
comment ``<!-- not run: WHY -->`` above a block leaves it out; its commands are parsed and its code
compiled all the same. So are, for the time they would take, commands of ``LONG``, and all blocks of
a page with ``<!-- run as a whole by make test-slow -->``, which is followed word for word there.
"""

import contextlib
import importlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from ascjax.__main__ import COMMANDS, parse
from ascjax.errors import UserError
from ascjax.setup.check import check

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
    if "_build" not in path.parts
}
WHOLE = "<!-- run as a whole by make test-slow -->"
LONG = ("train", "sweep", "convert", "export", "demo")
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Command:
    """A command of a console block, and the lines that it is shown to print."""

    text: str
    output: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def fails(self) -> bool:
        return any(line.startswith("error: ") for line in self.output)


@dataclass(frozen=True)
class Block:
    """A block of code, the line it begins in, and why it isn't run, if so."""

    language: str
    text: str
    line: int
    why: str

    def commands(self) -> list[Command]:
        """The commands of a console block."""
        parts = re.split(r"^\$ ", self.text.replace("\\\n", " "), flags=re.M)
        assert not parts[0], f"line {self.line}: output before the first command"
        lines = [part.splitlines() for part in parts[1:]]
        return [Command(first, tuple(rest)) for first, *rest in lines]


def blocks(page: Path) -> list[Block]:
    """The blocks of Python and of commands in a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["language"], match["text"], text.count("\n", 0, match.start()) + 1,
              match["why"] or "")
        for match in _BLOCK.finditer(text)
        if match["language"] in ("python", "console")
    ]  # fmt: skip


def parsed(words: list[str]) -> tuple[str, object]:
    """The name and the options of an ``ascjax`` command, its config checked; raises UserError."""
    name, rest = parse(words)
    if name.startswith("--"):
        return name, None
    module = importlib.import_module(COMMANDS[name][0])
    argv = [f"ascjax {name}", *rest]
    options = module._parser().parse(argv) if name == "convert" else module.parse(argv)
    if name == "train":
        check(options.config)
    return name, options


@contextlib.contextmanager
def cheaper():
    """Without what takes long and is tested elsewhere: a timed training step, figures for print."""
    with (
        mock.patch("ascjax.describe._estimate_training", return_value=None),
        mock.patch("ascjax.figures.DPI", 50),
    ):
        yield


def run(command: Command) -> str:
    """What an ``ascjax`` command prints, run in this process; an error as its last line."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, mock.patch("sys.stderr", printed):
        try:
            name, options = parsed(command.words)
            if command.fails or name not in LONG:
                with cheaper():
                    importlib.import_module(COMMANDS[name][0]).main(options)
        except UserError as error:
            print(f"error: {error}")
    return printed.getvalue()


def shown_as_printed(shown: tuple[str, ...], printed: str) -> bool:
    """Whether a page's lines are those of a program; digits may differ, ``...`` is anything."""

    def plain(text: str) -> str:
        return re.sub(r"\d[\d,.]*", "0", " ".join(text.split()))

    pattern = re.escape(plain("\n".join(shown))).replace(r"\.\.\.", ".*")
    return re.search(pattern, plain(printed)) is not None
