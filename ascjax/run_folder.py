"""Files of a run folder → plain values; a missing or damaged file is named with what to do."""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ascjax.errors import UserError

RUN_AGAIN = "start the run's command again to finish it, or evaluate the run anew"


def read_json(path: Path, *, required: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the JSON object in ``path``.

    Raises:
      UserError: the file is missing, is no JSON object or lacks a ``required`` key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: expected this file of a finished run; {RUN_AGAIN}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected JSON, got {error}; {RUN_AGAIN}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {content!r:.40}; {RUN_AGAIN}")
    need(content, *required, path=path)
    return content


def need(content: Mapping[str, Any], *keys: str, path: Path) -> None:
    """Raises UserError, naming ``path``, unless ``content`` has every one of ``keys``."""
    missing = [key for key in keys if key not in content]
    if missing:
        raise UserError(f"{path}: expected the keys {', '.join(missing)} in it; {RUN_AGAIN}")


def read_history(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of metrics.jsonl, one an epoch and in order; none if there is no file.

    Of an epoch that a resumed run has repeated, the last entry counts.

    Raises:
      UserError: a line is damaged; the message gives its number.
    """
    if not path.exists():
        return []
    by_epoch = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            by_epoch[entry["epoch"]] = entry
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: expected JSON with the key epoch, got {error!r}; "
                "remove that line and try again"
            ) from None
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Returns the arrays ``names`` of an npz file.

    Raises:
      UserError: the file is missing, damaged or lacks one of them.
    """
    try:
        # Opened here, since np.load leaves a file that it can't read open.
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in names}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as e:
        raise UserError(
            f"{path}: expected the arrays {', '.join(names)}, got {e}; {RUN_AGAIN}"
        ) from None
