"""Settings of the documentation, and the pages that are made when it is built.

`make docs` builds it into docs/_build/html. Warnings are errors.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from ascjax import __version__, config  # noqa: E402
from ascjax.__main__ import COMMANDS  # noqa: E402

project, author, release = "ascjax", "The ascjax authors", __version__
copyright = f"2026, {author}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ascjax {release}"
html_static_path = ["_static"]
html_css_files = ["ascjax.css"]
html_copy_source = html_show_sphinx = False

myst_heading_anchors = 3
highlight_language = "none"
copybutton_prompt_text = "$ "

default_role = "code"
toc_object_entries = False
# Public names are documented twice, as ascjax.NAME and where they are defined.
suppress_warnings = ["ref.python"]
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "capture_repr": (),
    "write_computation_times": False,
    "min_reported_time": float("inf"),
    "show_signature": False,
    "download_all_examples": False,
}

# Pages that are files of the repository: document → file.
REPOSITORY = {
    "index": "README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "results": "benchmarks/RESULTS.md",
    "decisions": "benchmarks/DECISIONS.md",
    "reference/configs": "configs/common.py",
}


def relinked(text: str, folder: Path) -> str:
    """Returns a page of the repository with its links as they are in the site.

    Files that are no page are named, not linked.
    """
    pages = {ROOT / file: f"/{document}.md" for document, file in REPOSITORY.items()}

    def link(match: re.Match) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        path = (folder / target).resolve()
        if path.is_relative_to(ROOT / "docs"):
            return f"[{words}](/{path.relative_to(ROOT / 'docs')}{anchor})"
        return f"[{words}]({pages[path]}{anchor})" if path in pages else words

    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)", link, text)


def commands() -> str:
    """Returns the help of every command, as it is printed."""

    def printed(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ascjax", *words, "--help"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return f"```text\n{done.stdout.strip()}\n```\n"

    parts = [printed()]
    parts += [f"## ascjax {name}\n\n{printed(name)}" for name in COMMANDS]
    return "\n" + "\n".join(parts)


def configs() -> str:
    """Returns a table of the configs that ascjax ships."""
    rows = ["| config | what it is | time of a run |", "| --- | --- | --- |"]
    for name, path in config.shipped().items():
        about = config.describe(path)
        rows.append(f"| `{name}` | {about.line} | {about.takes} |")
    return "\n".join(rows) + "\n"


MADE = {"reference/commands": commands, "reference/configs": configs}


def read(app, docname: str, source: list[str]) -> None:
    """Puts a file of the repository before the page that stands for it, and fills in made parts.

    Links of pages to such files become links to the pages that stand for them.
    """
    page = Path(app.env.doc2path(docname))
    if page.suffix == ".md":
        source[0] = relinked(source[0], page.parent)
    if REPOSITORY.get(docname, "").endswith(".md"):
        path = ROOT / REPOSITORY[docname]
        source[0] = relinked(path.read_text(encoding="utf-8"), path.parent) + "\n" + source[0]
    if docname in MADE:
        source[0] = source[0].replace("% made when built", MADE[docname]())


def rooms(app) -> None:
    """Writes a page for each room of the package, and for what is below them, from docstrings."""
    folder = ROOT / "docs" / "reference" / "rooms"
    folder.mkdir(exist_ok=True)
    package = ROOT / "ascjax"
    pages = {path.parent.name: sorted(path.parent.rglob("*.py"))
             for path in package.glob("*/__init__.py")}  # fmt: skip
    pages["ground"] = sorted(package.glob("[!_]*.py"))
    for room, files in pages.items():
        lines = [room, "=" * len(room), ""]
        for file in files:
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            if file.stem == "__init__":
                lines += [f".. automodule:: {module.removesuffix('.__init__')}", "   :no-members:"]
            else:
                title = f"``{file.relative_to(package).as_posix()}``"
                lines += [title, "-" * len(title), "", f".. automodule:: {module}"]
            lines.append("")
        page, text = folder / f"{room}.rst", "\n".join(lines)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app) -> dict[str, bool]:
    """Connects what this file does to Sphinx."""
    app.connect("builder-inited", rooms)
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
