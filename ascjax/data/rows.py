"""The files of a feature store, checked when they are opened: no value is trusted unread."""

import itertools
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike
from tqdm import tqdm

from ascjax.errors import UserError, first_line
from ascjax.files import write_json
from ascjax.signals import StopRequest

# States of a row.
MISSING, DONE, BAD = 0, 1, 2
_ROW = np.dtype([("state", "u1"), ("crc32", "u4")])
_ROWS_AT_ONCE = 256


def open_or_create(
    path: Path, settings: dict, shape: tuple[int, ...]
) -> tuple[np.memmap, np.memmap]:
    """Returns the row table, writable, and the log-mels; makes the files if need be."""
    rows_path, log_mel_path = path / "rows.npy", path / "log_mel.npy"
    if not rows_path.exists():
        num_bytes = int(np.prod(shape)) * np.dtype(np.float32).itemsize
        free = shutil.disk_usage(path).free
        if num_bytes > free:
            raise UserError(
                f"{path}: the features need {num_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB are "
                "free; choose another store folder"
            )
        write_json(path / "settings.json", settings)
        write_json(path / "bad.json", {})
        _create(log_mel_path, np.float32, shape)
        # The row table comes last: where it is, everything else is.
        _create(rows_path, _ROW, shape[:1])
    return _open(rows_path, _ROW, shape[:1], "r+"), _open(log_mel_path, np.float32, shape, "r")


def _create(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Makes an array of zeros, whole or not at all, that a full disk can't take back.

    It is preallocated: else a full disk would raise SIGBUS in a writer to its memory map.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        np.lib.format.open_memmap(partial, "w+", dtype, shape).flush()
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _open(
    path: Path, dtype: DTypeLike, shape: tuple[int, ...], mode: Literal["r", "r+"]
) -> np.memmap:
    """Maps an array of the store.

    Raises:
      UserError: it isn't what was made.
    """
    try:
        array = np.lib.format.open_memmap(path, mode)
        found = f"{array.dtype} of shape {array.shape}"
        if (array.dtype, array.shape) == (dtype, shape) and array.flags.c_contiguous:
            return array
    except FileNotFoundError as error:
        found = str(error)
    except OSError:
        raise
    except Exception as error:  # a damaged header can raise nearly anything out of NumPy
        found = first_line(error)
    raise UserError(
        f"{path}: the feature store is damaged (expected {np.dtype(dtype)} of shape {shape}, got "
        f"{found:.200}); remove {path.parent}, and the same command makes it anew"
    )


def read_bad(path: Path) -> dict[str, str]:
    """Returns bad.json; where it is damaged, says so."""
    try:
        bad = json.loads((path / "bad.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        bad = None
    if isinstance(bad, dict) and all(isinstance(reason, str) for reason in bad.values()):
        return bad
    tqdm.write(f"{path / 'bad.json'}: damaged; why recordings are left out is not known")
    return {}


def mark_bad(names: Sequence[str], rows: np.ndarray, bad: dict[str, str], path: Path) -> None:
    """Marks the rows of bad recordings, and no others."""
    is_bad = np.array([name in bad for name in names], bool)
    rows["state"][(rows["state"] != DONE) & ~is_bad] = MISSING
    rows["state"][is_bad] = BAD
    write_json(path / "bad.json", bad)


def mark_damaged(rows: np.ndarray, log_mel: np.ndarray, stop: StopRequest | None) -> list[int]:
    """Marks the done rows that don't have their CRC-32 as missing, and returns them.

    It costs one reading of the store, which training reads again out of the system's cache.
    """
    done = np.flatnonzero(rows["state"] == DONE).tolist()
    damaged: list[int] = []

    def is_damaged(row: int) -> bool:
        return zlib.crc32(log_mel[row]) != int(rows["crc32"][row])

    with ThreadPoolExecutor() as pool:  # the CRC lets other threads run
        for start in range(0, len(done), _ROWS_AT_ONCE):
            if stop is not None:
                stop.check("while checking features")
            some = done[start : start + _ROWS_AT_ONCE]
            damaged += itertools.compress(some, pool.map(is_damaged, some))
    rows["state"][damaged] = MISSING
    return damaged
