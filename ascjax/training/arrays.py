"""Trees of arrays in Orbax's files, with the CRC-32 of each array, checked when it is restored.

The sums are in Orbax's metadata, so that they are written with the arrays or not at all.
"""

import contextlib
import json
import logging
import os
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ascjax.compute import processes
from ascjax.errors import UserError, first_line
from ascjax.files import unwritable

# Orbax takes its own path for a glob pattern where it merges files, and TensorStore takes a
# backslash for a slash: such a checkpoint is saved in part and can't be restored.
_PATTERN_CHARACTERS = frozenset("[]*?\\")
# Orbax's, with what it was given as custom_metadata.
_METADATA = "_CHECKPOINT_METADATA"
# Of folders that Orbax hasn't finished.
TEMPORARY = "*.orbax-checkpoint-tmp*"


class DamagedCheckpoint(UserError):
    """A checkpoint's values aren't those that were saved."""


class ArrayFiles:
    """Writes and reads folders of arrays within one folder; to be closed."""

    def __init__(self, path: Path):
        self.path = path
        with contextlib.ExitStack() as opened:
            opened.enter_context(_quiet())
            self._folder = opened.enter_context(_pattern_free(path))
            # Of several processes the one that is here: Orbax would wait for all.
            alone = ocp.options.MultiprocessingOptions()
            if processes.count() > 1:
                only = processes.index()
                alone = ocp.options.MultiprocessingOptions(only, {only})
            handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
            checkpointer = ocp.Checkpointer(handler, multiprocessing_options=alone)
            self._checkpointer = opened.enter_context(checkpointer)
            self._opened = opened.pop_all()

    def write(self, name: str, tree: Any) -> None:
        """Writes a tree of arrays as the new folder ``name``, whole or not at all.

        Raises:
          UserError: it can't be written.
        """
        path = self.path / name
        try:
            _reserve(self.path, sum(array.nbytes for array in jax.tree.leaves(tree)))
            self._checkpointer.save(
                self._folder / name,
                args=ocp.args.StandardSave(tree),
                custom_metadata={"arrays": sealed(_described(tree))},
            )
        except OSError as error:
            raise unwritable(path, error) from None
        except Exception as error:  # TensorStore's, which has none of its own
            if found := re.search(r"os_error_code='(\d+)'", str(error)):
                number = int(found[1])
                raise unwritable(path, OSError(number, os.strerror(number))) from None
            raise UserError(f"{path}: cannot be written ({first_line(error)})") from None

    def read(self, name: str, like: Any) -> Any:
        """Returns the tree in the folder ``name`` as NumPy arrays in the structure of ``like``.

        Raises:
          DamagedCheckpoint: its values aren't those that were written.
          UserError: its arrays aren't those of ``like``.
        """
        where = self.path / name
        shapes = jax.tree.map(lambda x: np.empty(np.shape(x), np.asarray(x).dtype), like)
        try:
            metadata = json.loads((where / _METADATA).read_text(encoding="utf-8"))
            written = unsealed(metadata["custom_metadata"]["arrays"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpoint(f"{where}: damaged ({first_line(error)})") from None
        expected = _described(shapes)
        for array in sorted(expected.keys() ^ written.keys()):
            raise UserError(f"{where}: not of this network, {array} is in one of them only")
        for array, (kind, _) in expected.items():
            if kind != written[array][0]:
                raise UserError(
                    f"{where}: not of this network: expected {array} as {kind}, got "
                    f"{written[array][0]}"
                )
        try:
            args = ocp.args.StandardRestore(shapes)
            restored = self._checkpointer.restore(self._folder / name, args=args)
            found = _described(restored)
        except Exception as error:  # Orbax lets out nearly anything where a file is damaged
            raise DamagedCheckpoint(f"{where}: damaged ({first_line(error)})") from None
        for array, described in found.items():
            if list(described) != written[array]:
                raise DamagedCheckpoint(f"{where}: damaged ({array} isn't what was saved)")
        return restored

    def close(self) -> None:
        """Releases the folder."""
        self._opened.close()


def _described(tree: Any) -> dict[str, tuple[str, int]]:
    """Returns, by path, each array's type and shape, and the CRC-32 of its values."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            f"{array.dtype.name}{list(array.shape)}",
            zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data),
        )
        for path, array in jax.tree_util.tree_leaves_with_path(tree)
    }


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Returns JSON with its own CRC-32."""
    return {"content": content, "crc32": zlib.crc32(json.dumps(content).encode())}


def unsealed(value: dict[str, Any]) -> dict[str, Any]:
    """Returns what was sealed; raises ValueError if it has changed, or KeyError or TypeError."""
    content = value["content"]
    if sealed(content)["crc32"] != value["crc32"]:
        raise ValueError("its CRC-32 is another")
    return content


def _reserve(folder: Path, num_bytes: int) -> None:
    """Raises OSError if that much can't be written: TensorStore would say so at length."""
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, num_bytes + 2**20)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Orbax and TensorStore from printing errors that are raised as well."""
    logger, hook = logging.getLogger("absl"), sys.unraisablehook

    def filtered(unraisable: Any) -> None:
        # A write that fails after another one has failed finds nobody waiting.
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    logger.disabled, sys.unraisablehook = True, filtered
    try:
        yield
    finally:
        logger.disabled, sys.unraisablehook = False, hook


@contextlib.contextmanager
def _pattern_free(path: Path) -> Iterator[Path]:
    """Yields ``path``, or a temporary link to it where its name has pattern characters."""
    if not _PATTERN_CHARACTERS & set(str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ascjax-") as folder:
        link = Path(folder, "checkpoints")
        link.symlink_to(path, target_is_directory=True)
        yield link
