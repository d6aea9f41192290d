"""Config keys in errors: rooms below know values, not the keys they come from."""

import contextlib
from collections.abc import Iterator

from ascjax.errors import UserError


@contextlib.contextmanager
def keyed(key: str, separator: str = ": ") -> Iterator[None]:
    """Puts ``config.KEY`` before the messages of UserErrors raised within the block.

    Args:
      key: dotted key of a leaf, or of a group where the message begins with the leaf.
      separator: between key and message; ``"."`` for a group.
    """
    try:
        yield
    except UserError as error:
        raise type(error)(f"config.{key}{separator}{error}") from error.__cause__
