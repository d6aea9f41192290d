"""Dataclasses as JSON files: written whole, every type checked when read."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ascjax.errors import UserError
from ascjax.files import read_bytes, write_bytes

T = TypeVar("T")


def encode(record: Any) -> bytes:
    r"""Returns a dataclass as indented JSON; of file names, bytes that are no UTF-8 as ``\xe9``."""
    try:
        content = msgspec.json.encode(record)
    except UnicodeEncodeError:
        content = msgspec.json.encode(_writable(msgspec.to_builtins(record, str_keys=True)))
    return msgspec.json.format(content, indent=1) + b"\n"


def _writable(value: Any) -> Any:
    """Returns what JSON is made of with text that can be written as UTF-8."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    if isinstance(value, dict):
        return {_writable(key): _writable(each) for key, each in value.items()}
    return [_writable(each) for each in value] if isinstance(value, list | tuple) else value


def write(path: Path, record: Any) -> None:
    """Writes a dataclass as JSON.

    Raises:
      UserError: the file can't be written.
    """
    write_bytes(path, encode(record))


def read(path: Path, kind: type[T], *, version: int, hint: str) -> T:
    """Returns the dataclass that a JSON file holds; objects in it have their own types.

    Args:
      path: the file.
      kind: the dataclass; it has a field ``format``.
      version: the ``format`` expected.
      hint: what to do where the file is missing or damaged.

    Raises:
      UserError: the file is missing, damaged, or of another format.
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{path}: expected this file, there is none; {hint}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {hint}") from None
    try:
        found = msgspec.json.decode(content)
        written = found.get("format") if isinstance(found, dict) else None
        if isinstance(written, int) and written != version:
            raise UserError(
                f"{path}: expected format {version}, got {written}; use the version of ascjax that "
                f"wrote it, or {hint}"
            )
        if _has_large_integer(found):
            raise UserError(
                f"{path}: expected integers of at most 64 bits, got a larger one; {hint}"
            )
        return msgspec.convert(found, kind, str_keys=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: {_sentence(error)}; {hint}") from None


def _has_large_integer(value: Any) -> bool:
    """Whether an integer in what JSON is made of is larger than arrays and floats can hold."""
    if isinstance(value, dict | list):
        return any(map(_has_large_integer, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _sentence(error: Exception) -> str:
    """Returns msgspec's message in the form of ours: ``expected `int`, got `str` at `$.a```."""
    text = str(error).replace(" - at ", " at ")
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
