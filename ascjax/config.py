"""Config files and their leaves by dotted key."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ascjax.errors import UserError

# Keys that change where and how fast a run is computed, not what: they may differ when it goes on.
FREE = (
    "data.num_workers", "data.resident", "data.store_dir", "init.weights_dir", "log_every_steps",
    "num_devices", "train.remat",
)  # fmt: skip


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a config's leaves by dotted key; lists, as JSON has them, become tuples."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = tuple(value) if isinstance(value, list) else value
    return flat


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says which leaves differ, the ``FREE`` ones left aside; nothing if none does."""
    theirs, ours = flatten(before), flatten(now)
    differing = [
        f"{key} ({theirs.get(key)!r} there, {ours.get(key)!r} now)"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key not in FREE
    ]
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return ", ".join(differing[:3]) + more


def load_config(path: str) -> ConfigDict:
    """Returns what a config file's ``get_config`` returns.

    Raises:
      UserError: there is no such file, or it can't be loaded.
    """
    if not Path(path).is_file():
        raise UserError(
            f"--config={path}: expected a config file, e.g. configs/quickstart.py; there is none, "
            "check the path (commands run in the folder that holds configs/)"
        )
    try:
        config = runpy.run_path(path)["get_config"]()
        flatten(config.to_dict())
    except Exception as error:  # whatever a user's file may do wrong
        raise UserError(
            f"--config={path}: cannot be loaded: {type(error).__name__}: {error}; it must define "
            "get_config(), and run in the folder that holds configs/"
        ) from error
    return config
