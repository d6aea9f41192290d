"""Checks the links of a site that was built, without a network.

  python docs/links.py docs/_build/html

Every link within the site leads to a file and, after #, to an element there; and no page loads
anything from elsewhere, so that the site reads the same offline.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The ids of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collects what an element is called and what it refers to."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name == "href" and value and tag == "a":
                self.links.append(value)
            elif (name == "src" or (tag == "link" and name == "href")) and value:
                self.loaded.append(value)


def check(site: Path) -> list[str]:
    """Returns a line for each link that leads nowhere and each thing loaded from outside."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            url = urlsplit(link)
            if url.scheme == "data" or (url.scheme and link not in page.loaded):
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            where = f"{path.relative_to(site.resolve())}: {link}"
            if url.scheme or url.netloc:
                wrong.append(f"{where} is loaded from elsewhere")
            elif not target.is_file():
                wrong.append(f"{where} leads nowhere")
            elif target in pages and unquote(url.fragment) not in pages[target].ids | {""}:
                wrong.append(f"{where}: there is no such place on that page")
    return wrong


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    print("\n".join(found) or "all links lead somewhere")
    sys.exit(bool(found))
