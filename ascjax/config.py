"""Configs: finding, loading, overriding, checking and comparing them."""

import ast
import os
import runpy
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ascjax.configs import common
from ascjax.errors import UserError, nearest
from ascjax.files import as_path
from ascjax.words import listed

SHIPPED = Path(__file__).with_name("configs")
# Leaves that say where, how fast and how often, not what: they may differ when a run resumes. The
# recordings under data.root are compared by name and label.
FREE = (
    "checkpoint.every_epochs", "checkpoint.keep", "data.num_workers", "data.resident", "data.root",
    "data.store_dir", "eval.batch_size", "init.weights_dir", "log_every_steps", "num_devices",
    "train.remat",
)  # fmt: skip
_KINDS = {
    bool: "true or false",
    int: "an int",
    float: "a float",
    str: "a string",
    tuple: "a list such as left,right or ('left','right')",
}


class About(NamedTuple):
    """First line of a config's docstring, and the time that a run of it takes."""

    line: str
    takes: str


def shipped() -> dict[str, Path]:
    """Returns the files of the configs that ascjax ships, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.py"))}


def describe(path: Path) -> About:
    """Returns what a config file's docstring says, without running the file."""
    lines = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()
    takes = [line.removeprefix("Takes: ") for line in lines if line.startswith("Takes: ")]
    return About(lines[0] if lines else "", takes[0] if takes else "not measured")


def find_config(name: str) -> Path:
    """Returns the file of a shipped config by its name, else the file at the path ``name``.

    Raises:
      UserError: there is neither.
    """
    configs = shipped()
    path = configs.get(name) or as_path(name)
    if os.path.isfile(path):
        return path
    hint = nearest(path.stem, list(configs)) or f", one of {', '.join(configs)}"
    raise UserError(f"config {name}: expected a file or the name of a shipped config{hint}")


def load_config(name: str, overrides: Mapping[str, str] | None = None) -> ConfigDict:
    """Returns what ``get_config`` of a config file returns, with some leaves overridden.

    Args:
      name: a shipped config, e.g. ``"vgg_mlp"``, or the path of a file, which is run once.
      overrides: values by dotted key, as text; see ``parse_overrides``.

    Raises:
      UserError: no such file, or it can't be loaded; an unknown key or a value of a wrong type.
    """
    path = find_config(name)
    beside = str(path.parent.absolute())
    sys.path.insert(0, beside)  # as for a script: a config may import what lies beside it
    try:
        defined = runpy.run_path(str(path))
        config = defined["get_config"]() if "get_config" in defined else None
        # A leaf may be a placeholder of ml_collections', which raises as it is read.
        leaves = flatten(config.to_dict()) if isinstance(config, ConfigDict) else {}
    except (Exception, SystemExit) as error:  # a user's file may raise anything
        raise UserError(
            f"--config={name}: cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(beside)
        if name not in shipped() and beside not in sys.path:
            sys.path.append(beside)  # for workers, and for what is imported later
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config={name}: it must define get_config(), which returns a ConfigDict")
    config.update_from_flattened_dict(parse_overrides(leaves, overrides or {}))
    return config


def override(config: ConfigDict, overrides: Mapping[str, Any]) -> None:
    """Sets leaves of a config by dotted key; text is parsed as in ``parse_overrides``.

    Raises:
      UserError: an unknown key or a value of a wrong type.
    """
    leaves = flatten(config.to_dict())
    text = {key: value for key, value in overrides.items() if isinstance(value, str)}
    values = {**overrides, **parse_overrides(leaves, text)}
    for key, value in values.items():
        if key not in leaves:
            raise UserError(f"config.{key}: no such key{nearest_key(key, list(leaves))}")
        default = leaves[key]
        value = tuple(value) if isinstance(value, list) else value
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        value = value.item() if isinstance(value, np.generic) else value
        _check_size(key, value)
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default) or not _of_strings(value):
            raise UserError(
                f"config.{key}: expected {_KINDS.get(type(default), type(default).__name__)}, "
                f"e.g. {default!r}, got {value!r}"
            )
        values[key] = value
    config.update_from_flattened_dict(values)


def parse_overrides(leaves: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """Parses values by the types of the leaves that they override.

    Booleans are ``true`` or ``false``; strings may be quoted; tuples are ``left,right`` or
    ``('left','right')``.

    Args:
      leaves: values by dotted key, as ``flatten`` returns.
      overrides: text by dotted key.

    Raises:
      UserError: a key that isn't in ``leaves``, or a value of a wrong type.
    """
    values = {}
    for key, text in overrides.items():
        if key not in leaves:
            raise UserError(f"--config.{key}: no such key{nearest_key(key, list(leaves))}")
        try:
            values[key] = _parse(text, leaves[key])
        except (KeyError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
            kind = _KINDS.get(type(leaves[key]), "to be set in the config file")
            raise UserError(
                f"--config.{key}={text:.60}: expected {kind}, e.g. {leaves[key]!r}"
            ) from None
    return values


def _parse(text: str, like: Any) -> Any:
    """Returns ``text`` as a value of the type of ``like``."""
    if isinstance(like, bool):
        return {"true": True, "false": False}[text.lower()]
    if isinstance(like, int | float):
        return type(like)(text)
    if isinstance(like, str):
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
    if isinstance(like, tuple):
        return _parse_tuple(text, type(like[0]) if like else str)
    raise TypeError(type(like))


def _parse_tuple(text: str, kind: type) -> tuple:
    if not text.startswith(("(", "[", "'", '"')):
        return tuple(kind(word.strip()) for word in text.split(",") if word.strip())
    value = ast.literal_eval(text)
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not all(isinstance(each, kind) for each in values):
        raise TypeError(kind)
    return values


def nearest_key(key: str, keys: list[str]) -> str:
    """Returns the end of a message: the key meant instead of ``key``, or the keys there are."""
    inside = [name for name in keys if name.startswith(f"{key}.")]
    if inside:
        return f"; it is a section with {', '.join(inside)}"
    # The same name in another section, data.num_mels for features.num_mels, before a similar one.
    last = [name for name in keys if name.rpartition(".")[2] == key.rpartition(".")[2]]
    close = f"; did you mean {last[0]!r}?" if last else nearest(key, keys)
    return close or f"; the keys are {', '.join(keys)}"


def check_structure(config: ConfigDict) -> None:
    """Checks that a config has the leaves of configs/common.py, no others, of the same types.

    An int passes as a float, and a list as a tuple.

    Raises:
      UserError: a leaf is missing, unknown or of another type.
    """
    expected, leaves = flatten(common.get_config().to_dict()), flatten(config.to_dict())
    for key in leaves:
        if key not in expected:
            raise UserError(f"config.{key}: no such key{nearest_key(key, list(expected))}")
    for key, default in expected.items():
        if key not in leaves:
            raise UserError(
                f"config.{key} is missing (by default {default!r}); a config must begin with "
                "ascjax.configs.common.get_config()"
            )
        _check_size(key, leaves[key])
        allowed = (float, int) if isinstance(default, float) else (type(default),)
        if type(leaves[key]) not in allowed or not _of_strings(leaves[key]):
            raise UserError(
                f"config.{key}: expected {_KINDS[type(default)]}, e.g. {default!r}, got "
                f"{leaves[key]!r}"
            )


def _check_size(key: str, value: Any) -> None:
    """Raises UserError for an integer that a float or a message can't hold."""
    if isinstance(value, int) and abs(value) >= 2**63:
        raise UserError(f"config.{key}: expected an integer of at most 64 bits, got a larger one")


def _of_strings(value: Any) -> bool:
    """Returns whether a tuple has strings alone, as all tuples of configs do."""
    return not isinstance(value, tuple) or all(isinstance(each, str) for each in value)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a config's leaves by dotted key; lists, as JSON has them, become tuples."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = tuple(value) if isinstance(value, list) else value
    return flat


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str] = FREE
) -> str:
    """Lists the leaves that differ, except those in ``free``; an empty string if none does."""
    theirs, ours = flatten(before), flatten(now)
    differing = [
        f"{key} ({theirs.get(key)!r} there, {ours.get(key)!r} now)"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key not in free
    ]
    return listed(differing, 3)
