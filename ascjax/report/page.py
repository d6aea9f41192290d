"""Templates of self-contained HTML pages, with filters that format numbers."""

from collections.abc import Callable

import jinja2

from ascjax.report.text import interval, label, percent, size
from ascjax.words import counted, duration


def template(name: str, *more: Callable[..., str]) -> jinja2.Template:
    """Returns a template of this package, with the filters that pages share and ``more``."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ascjax.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # No-break spaces: a line never ends between a number and its unit.
    filters: tuple[Callable[..., str], ...] = (percent, interval, duration, size, *more)
    for words in filters:
        environment.filters[words.__name__] = _unbroken(words)
    environment.filters["count"] = "{:,}".format
    environment.filters["label"] = label
    environment.filters["python"] = repr
    environment.globals["counted"] = counted
    return environment.get_template(name)


def _unbroken(words: Callable[..., str]) -> Callable[..., str]:
    return lambda value: words(value).replace(" ", "\u00a0")
