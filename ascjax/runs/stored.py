"""What the variables of a network take in a file."""

import math
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ascjax.errors import UserError
from ascjax.runs.folder import TRAIN_AGAIN

Shape = tuple[int, ...]

# Keys of `sizes`.
PRECISIONS = ("float32", "float16", "int8")


def num_bytes(shapes: Iterable[Shape], *, quantised: bool = False) -> int:
    """Returns the bytes of variables in an exported network.

    Args:
      shapes: of the variables, channels out last.
      quantised: whether kernels are int8, with a scale for each channel out; else all is float32.
    """
    return sum(
        math.prod(shape) + 4 * shape[-1] if quantised and len(shape) > 1 else 4 * math.prod(shape)
        for shape in shapes
    )


def sizes(path: Path) -> dict[str, int]:
    """Returns the bytes of the variables in model.safetensors by precision, int8 of kernels alone.

    Raises:
      UserError: the file is missing or damaged.
    """
    found = shapes(path)
    whole = num_bytes(found)
    values = whole, whole // 2, num_bytes(found, quantised=True)
    return dict(zip(PRECISIONS, values, strict=True))


def shapes(path: Path) -> list[Shape]:
    """Returns the shapes of the variables in model.safetensors; only its header is read.

    Raises:
      UserError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            return [tuple(file.get_slice(name).get_shape()) for name in names]
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {TRAIN_AGAIN}") from None
