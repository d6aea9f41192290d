"""A parsed report page."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "source"}


class Page(HTMLParser):
    """Collects what a page refers to and proves that its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.text, self.words, self.refers_to, self.ids, self._open = text, [], [], [], []
        self.attributes = set()
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.attributes |= {key for key, _ in attrs}
        self.refers_to += [value for key, value in attrs if key in ("src", "href")]
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def plain(self):
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())
