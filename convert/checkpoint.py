"""Reads a checkpoint from a file, or from the shards that an index or a folder names."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ascjax.errors import UserError
from ascjax.models.weights import read_tensors
from ascjax.words import listed

from . import kinds, torchfile

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)")

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


class Checkpoint(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      content: nested mappings of names to tensors, and whatever a training script kept beside.
      metadata: of a safetensors header; empty for torch's formats.
      notes: what was skipped, for the user.
    """

    content: Any
    metadata: dict[str, str]
    notes: list[str]


def locate(source: Path) -> list[Path]:
    """Returns the files of a checkpoint: one, or its shards in order.

    Args:
      source: a checkpoint; an index of shards (``*.index.json``); or a folder with an index, with
        shards named ``*-00001-of-00002.*``, or with one checkpoint alone.

    Raises:
      UserError: there is nothing to read, or shards are missing.
    """
    try:
        if source.is_dir():
            return _in_folder(source)
        source.open("rb").close()
        str(source).encode()
    except (OSError, ValueError) as error:  # ValueError: a NUL, or bytes that aren't UTF-8
        reason = getattr(error, "strerror", None) or "its name isn't UTF-8: rename it"
        raise UserError(f"--source: can't read {source}: {reason}") from error
    if not source.is_file():
        raise UserError(f"--source: {source} is no regular file")
    if source.suffix == ".json":
        return _in_index(source)
    if (shard := SHARD.fullmatch(source.name)) and int(shard[3]) > 1:
        raise UserError(
            f"{source} is one of {int(shard[3])} shards: give --source its folder or its index"
        )
    return [source]


def read(files: Sequence[Path]) -> Checkpoint:
    """Reads a checkpoint: safetensors with NumPy alone, torch's formats with ``torch.load``.

    Args:
      files: of ``locate``.

    Raises:
      UserError: a file is damaged, of another format, or needs code to be run; two shards hold the
        same key; or the file was converted already.
    """
    if len(files) == 1:
        return _read(files[0])
    content: dict[str, Any] = {}
    notes = [f"read from {len(files)} shards; the SHA-256 is that of their list by sha256sum"]
    for path in files:
        part = _read(path)
        if not isinstance(part.content, Mapping):
            raise UserError(f"{path}: expected names → tensors, got {describe(part.content)}")
        if twice := [key for key in part.content if key in content]:
            raise UserError(f"{path}: another shard holds {listed(twice, 3)} too")
        content |= part.content
        notes += [note for note in part.notes if note not in notes]
    return Checkpoint(content, {}, notes)


def sha256(files: Sequence[Path]) -> str:
    """Returns the SHA-256 of a file in hexadecimal; of shards, that of ``sha256sum``'s list."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(files) == 1:
        return digests[0]
    lines = (f"{digest}  {path.name}\n" for digest, path in zip(digests, files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def to_numpy(key: str, value: Any, where: str) -> np.ndarray:
    """Returns a tensor as an array over the same memory.

    Raises:
      UserError: it is sparse, quantized, of a dtype that NumPy lacks, or no tensor.
    """
    if isinstance(value, np.ndarray):
        return value
    import torch

    try:
        value = value.detach()
        if value.dtype == torch.bfloat16:  # which torch doesn't give to NumPy
            return value.view(torch.int16).numpy().view(jnp.bfloat16)
        return value.numpy()
    except (AttributeError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{where}: expected a state_dict of plain tensors, but {key!r} is {describe(value)}"
        ) from error


def is_tensor(value: Any) -> bool:
    """Returns whether a value is an array of torch's or NumPy's."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def describe(value: Any) -> str:
    """Returns what a value in a checkpoint is, for messages."""
    if isinstance(value, torchfile.Skipped):
        return f"a pickled {value.origin()}"
    if hasattr(value, "layout"):
        return f"{value.layout}, {value.dtype}, {value.device}"
    return type(value).__name__


def _read(path: Path) -> Checkpoint:
    kind = kinds.identify(path)
    if kind == kinds.SAFETENSORS:
        tensors, metadata = read_tensors(path)
        if "architecture" in metadata:
            raise UserError(
                f"{path} is converted already: start from it with --config.init.weights={path}"
            )
        other = path.suffix != ".safetensors"
        return Checkpoint(tensors, metadata, ["a safetensors file by its content"] * other)
    content, notes = torchfile.load(path, zipped=kind == kinds.TORCH_ZIP)
    return Checkpoint(content, {}, notes)


def _in_folder(folder: Path) -> list[Path]:
    names = sorted(path.name for path in folder.iterdir())
    indices = [name for name in names if name.endswith(".index.json")]
    shards = [shard for name in names if (shard := SHARD.fullmatch(name))]
    if len(indices) == 1:
        return _in_index(folder / indices[0])
    if len(indices) > 1:
        raise UserError(f"{folder} holds several indices ({listed(indices, 3)}): give one of them")
    if shards:
        sets = sorted({(shard[1], shard[3], shard[4]) for shard in shards})
        if len(sets) > 1:
            raise UserError(f"{folder} holds shards of {len(sets)} checkpoints: keep one of them")
        stem, count, suffix = sets[0]
        wanted = [f"{stem}-{i:05}-of-{count}{suffix}" for i in range(1, int(count) + 1)]
        return _present(folder, wanted, folder)
    single = [name for name in names if Path(name).suffix in SUFFIXES]
    if len(single) == 1:
        return [folder / single[0]]
    found = f"{len(single)} checkpoints: give one of them" if single else "no checkpoint"
    raise UserError(f"--source: can't read {folder}: a folder with {found}")


def _in_index(path: Path) -> list[Path]:
    try:
        names = set(json.loads(path.read_bytes())["weight_map"].values())
        inside = all(Path(name).name == name != ".." for name in names) and "" not in names
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: expected an index of shards, JSON with a `weight_map` of keys to file names"
        ) from error
    if not names or not inside:
        raise UserError(f"{path}: expected names of files beside it in its `weight_map`")
    return _present(path.parent, sorted(names), path)


def _present(folder: Path, names: Sequence[str], where: Path) -> list[Path]:
    if missing := [name for name in names if not os.path.isfile(folder / name)]:
        raise UserError(f"{where}: shards are missing: {listed(missing, 3)}; fetch them too")
    return [folder / name for name in names]
