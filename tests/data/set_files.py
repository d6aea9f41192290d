"""Files of small sets: audio that is there but never read, and lists of it."""

from pathlib import Path

import pytest

from ascjax.data.dataset import load
from ascjax.errors import UserError


def audio(path: Path) -> Path:
    """A file that is there; nothing here reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def lines(path: Path, *rows: str, end: str = "\r\n") -> Path:
    """A text file of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{row}{end}" for row in rows).encode())
    return path


def names(dataset, part) -> list[str]:
    return [dataset.recordings[index].name for index in part]


def fails(root: Path, reason: str, **options) -> None:
    """Loading the set raises a UserError of at most two lines that matches ``reason``."""
    with pytest.raises(UserError, match=reason) as error:
        load(root, **options)
    assert str(error.value).count("\n") <= 1
    assert "config." not in str(error.value)
