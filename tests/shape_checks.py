"""The run-time checker of annotations in tests; an int is a float, as in PEP 484."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked: dict[tuple, Callable] = {}


def check(stub: Callable) -> Callable:
    """Returns a function that checks what it is given, by the annotations of ``stub``.

    jaxtyping gives a stub anew each time that a function within a function is made: stubs that are
    the same, defaults included, share one function, as beartype takes long to compile its checks.
    """
    defaults = [*(stub.__defaults__ or ()), *(stub.__kwdefaults__ or {}).values()]
    annotations = tuple(stub.__annotations__.items())
    key = (stub.__module__, stub.__qualname__, stub.__code__, annotations, *map(id, defaults))
    try:
        return _checked.setdefault(key, _lazily(stub))
    except TypeError:  # an annotation that has no hash
        return _lazily(stub)


def _lazily(stub: Callable) -> Callable:
    """Returns ``stub`` with its checks, which are compiled at the first call."""
    checked = None

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        if checked is None:
            checked = _beartype(stub)
        return checked(*args, **kwargs)

    return call
