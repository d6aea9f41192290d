"""Reads a checkpoint from a file: torch's two formats (no code in them is run) and safetensors."""

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ascjax.errors import UserError
from ascjax.models.weights import read_tensors

# Keys under which training scripts keep a state_dict among other things.
WRAPPERS = ("state_dict", "model_state_dict", "model")
# Put into keys by DataParallel (around all or, as in PyTorch's ImageNet example, around the
# features alone), by torch.compile and by training modules that hold the network as `model`; no
# network of torchvision's has modules of these names.
WRAPPED = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|model)\.")
# How torch.load names what it would have to call.
CODE = re.compile(r"unsupported (?:global: )?GLOBAL (\w\S*)", re.IGNORECASE)


class Checkpoint(NamedTuple):
    """A state_dict read from a file.

    Attributes:
      tensors: key → array, memory-mapped where the format allows it.
      notes: what was unwrapped or removed, for the user.
    """

    tensors: dict[str, np.ndarray]
    notes: list[str]


def read(path: Path) -> Checkpoint:
    """Reads a ``.safetensors`` file with NumPy alone, any other with ``torch.load``.

    Raises:
      UserError: no such file; damaged; needs code to be run; holds no state_dict; or was
        converted already.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"--source: can't read {path}: {error.strerror}") from error
    if path.suffix == ".safetensors":
        content: Any
        content, metadata = read_tensors(path)
        if "architecture" in metadata:
            raise UserError(
                f"{path} is converted already: start from it with --config.init.weights={path}"
            )
    else:
        content = _torch_load(path)
    notes: list[str] = []
    tensors = {
        key: _to_numpy(key, value, path) for key, value in _unwrap(content, path, notes).items()
    }
    return Checkpoint(_unwrap_keys(tensors, notes), notes)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _torch_load(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: reading torch's format needs torch: pip install 'ascjax[convert]' "
            "(a .safetensors file is read without it)"
        ) from error
    # The older format isn't an archive and can't be memory-mapped.
    mmap = zipfile.is_zipfile(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles that torch didn't write
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # a damaged file can raise nearly anything out of the unpickler
        if code := CODE.search(str(error)):
            raise UserError(
                f"{path} holds code ({code[1]}), which is never run: load it where you trust it "
                "and save model.state_dict() alone"
            ) from error
        raise UserError(
            f"{path}: not a whole torch checkpoint (truncated, another kind of file, or a pickle "
            "that only running its code could read); fetch it again"
        ) from error


def _unwrap(content: Any, path: Path, notes: list[str]) -> Mapping[str, Any]:
    while isinstance(content, Mapping) and (
        inner := [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    ):
        notes.append(f"unwrapped {inner[0]!r}")
        content = content[inner[0]]
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        kind = type(content).__name__
        raise UserError(f"{path}: expected a state_dict (names → tensors), got a {kind}")
    if not content:
        raise UserError(f"{path}: no tensors in it")
    return content


def _to_numpy(key: str, value: Any, path: Path) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    import torch

    try:
        value = value.detach()
        if value.dtype == torch.bfloat16:  # which torch doesn't give to NumPy
            return value.view(torch.int16).numpy().view(jnp.bfloat16)
        return value.numpy()
    except (AttributeError, TypeError, RuntimeError) as error:
        tensor = isinstance(value, torch.Tensor)
        found = f"{value.layout}, {value.dtype}, {value.device}" if tensor else type(value).__name__
        raise UserError(
            f"{path}: expected a state_dict of plain tensors, but {key!r} is {found}"
        ) from error


def _unwrap_keys(tensors: dict[str, np.ndarray], notes: list[str]) -> dict[str, np.ndarray]:
    found = sorted({part for key in tensors for part in WRAPPED.findall(key)})
    shorter = {WRAPPED.sub("", key): array for key, array in tensors.items()}
    if not found or len(shorter) < len(tensors):
        return tensors
    notes.append(
        f"removed {' and '.join(found)} from the keys (DataParallel, torch.compile or such)"
    )
    return shorter
