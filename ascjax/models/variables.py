"""A network's variables as one safetensors file: keys are ``/``-joined paths."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flax import traverse_util

from ascjax.errors import UserError
from ascjax.files import write_bytes


def save(path: Path, variables: Mapping[str, Any], dtype: str = "float32") -> str:
    """Writes variables {params[, batch_stats]} and returns the file's SHA-256.

    Raises:
      UserError: the file can't be written.
    """
    flat = traverse_util.flatten_dict(variables, sep="/")
    content = safetensors.numpy.save({k: np.asarray(v).astype(dtype) for k, v in flat.items()})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def load(path: Path, sha256: str) -> Any:
    """Returns the variables in a file that `save` wrote, as float32.

    Args:
      path: the file.
      sha256: the file's digest when it was written.

    Raises:
      UserError: the file is missing or damaged.
    """
    hint = "train the run anew in another folder"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {hint}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path}: damaged, its SHA-256 isn't the one that was recorded; {hint}")
    flat = safetensors.numpy.load(content)
    return traverse_util.unflatten_dict(
        {key: value.astype(np.float32) for key, value in flat.items()}, sep="/"
    )
