"""Converted weights → the variables of a network.

A file of converted weights is one safetensors file made by ``convert``: keys are ``/``-joined paths
into the Flax variables (``params/trunk/stage1/conv1/kernel``), the original top of the network
under ``params/classifier/``, and the header says where it comes from and how it was proven.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open

from ascjax.errors import UserError, choose, nearest
from ascjax.files import as_path
from ascjax.models import TRUNKS
from ascjax.words import listed

CLASSIFIER = "params/classifier/"

# Three-plane first kernels [height, width, plane, channel] → kernels for one plane. `sum` equals
# feeding the same plane three times; `replicate` does feed it three times.
INPUT_CHANNEL: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sum": lambda kernel: kernel.sum(axis=2, keepdims=True),
    "mean": lambda kernel: kernel.mean(axis=2, keepdims=True),
    "replicate": lambda kernel: kernel,
}


class Converted(NamedTuple):
    """A file of converted weights.

    Attributes:
      tensors: path into the variables → array, memory-mapped: nothing is read before it is used.
      metadata: what the header says; ``architecture`` and ``classes`` among others.
      path: of the file.
    """

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]
    path: Path


def planes(input_channel: str) -> int:
    """Returns how many planes a network needs (``models.create_model(planes=...)``) for a choice.

    Raises:
      UserError: ``input_channel`` is none of ``INPUT_CHANNEL``.
    """
    choose("conversion of input planes", input_channel, INPUT_CHANNEL)
    return 3 if input_channel == "replicate" else 1


def resolve(weights: str, trunk: str, weights_dir: str | Path) -> Path:
    """Returns the file that ``weights`` stands for.

    Args:
      weights: ``imagenet`` (the file named after the trunk in ``weights_dir``) or a path.
      trunk: one of ``models.TRUNKS``.
      weights_dir: folder of converted weights.

    Raises:
      UserError: there is no such file; the message says how to make it.
    """
    path = as_path(weights)
    if weights == "imagenet":
        path = as_path(weights_dir) / f"{trunk}.safetensors"
    if os.path.isfile(path / "run.json"):
        raise UserError(_of_a_run(path))
    if os.path.isdir(path):
        path = path / f"{trunk}.safetensors"
    if os.path.isfile(path):
        return path
    if choose("trunk", trunk, TRUNKS).classifier is None:
        raise UserError(
            f"{trunk} has no counterpart in torchvision, so there are no {weights} "
            "weights for it; take another trunk"
        )
    raise UserError(_missing(path, trunk))


def load_of(path: str | Path, trunk: str) -> Converted:
    """Opens a file of converted weights for a trunk, as `load` does.

    Raises:
      UserError: the file is missing, unsound, or another architecture's.
    """
    if not os.path.isfile(path):
        raise UserError(_missing(Path(path), trunk))
    converted = load(path)
    if converted.metadata["architecture"] != trunk:
        raise UserError(
            f"{converted.path} holds {converted.metadata['architecture']}, but the trunk "
            f"is {trunk}: choose the file or the trunk to match"
        )
    return converted


def load(path: str | Path) -> Converted:
    """Opens a file of converted weights, memory-mapped.

    Raises:
      UserError: no such file, not a sound safetensors file, or not made by ``convert``.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise UserError(_missing(path, path.stem if path.stem in TRUNKS else "NAME"))
    tensors, metadata = read_tensors(path)
    if any(name.startswith("params/head/") for name in tensors):
        raise UserError(_of_a_run(path))
    if "architecture" not in metadata:
        raise UserError(
            f"{path}: a safetensors file, but its header names no architecture: not made by "
            f"convert. Run `ascjax convert NAME --source {path} --out weights/`"
        )
    return Converted(tensors, metadata, path)


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the tensors (memory-mapped) and the metadata of any safetensors file.

    Raises:
      UserError: the file isn't sound: too short, or a header that doesn't fit what follows it.
    """
    try:
        with safe_open(path, framework="numpy") as checked:  # checks every offset and length
            names, metadata = list(checked.keys()), dict(checked.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a sound safetensors file ({error}); fetch or convert it again"
        ) from error
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_length))
    content = np.memmap(path, mode="c")[8 + header_length :]
    return {name: _view(content, header[name], f"{path}: {name}") for name in names}, metadata


def _view(content: np.ndarray, entry: Mapping, where: str) -> np.ndarray:
    dtypes = {
        "F64": np.dtype(np.float64),
        "F32": np.dtype(np.float32),
        "F16": np.dtype(np.float16),
        "BF16": np.dtype(jnp.bfloat16),
        # Of counters, which nobody uses.
        "I64": np.dtype(np.int64),
        "I32": np.dtype(np.int32),
    }
    if entry["dtype"] not in dtypes:
        raise UserError(f"{where} is {entry['dtype']}; expected one of {', '.join(dtypes)}")
    start, stop = entry["data_offsets"]
    return content[start:stop].view(dtypes[entry["dtype"]]).reshape(entry["shape"])


def load_weights(
    variables: PyTree, path: str | Path, *, trunk: str, input_channel: str = "sum"
) -> PyTree:
    """Returns ``variables`` with the trunk's replaced by converted weights; the head stays fresh.

    Strict: every tensor of the file's trunk is used and every variable of the network's trunk is
    filled, with the right shape. Named exceptions: the file's ``params/classifier/...`` is left
    out, and the three-plane first kernel becomes what ``input_channel`` says.

    Args:
      variables: of ``models.create_model(trunk, ...)``: collections ``params`` and perhaps
        ``batch_stats``, each with ``trunk`` at its top.
      path: a file of converted weights, or a folder with ``<trunk>.safetensors`` in it.
      trunk: one of ``models.TRUNKS``.
      input_channel: ``sum`` (equal to feeding three equal planes), ``mean``, or ``replicate``
        (feeds three equal planes: build the network with ``planes=planes(input_channel)``).

    Raises:
      UserError: the file is missing, unsound, or another architecture's; or its tensors don't fit
        (all of them listed).
    """
    architecture = choose("trunk", trunk, TRUNKS)
    adapt = choose("conversion of input planes", input_channel, INPUT_CHANNEL)
    path = as_path(path)
    path = path / f"{trunk}.safetensors" if os.path.isdir(path) else path
    converted = load_of(path, trunk)
    source = {k: v for k, v in converted.tensors.items() if not k.startswith(CLASSIFIER)}
    first_kernel = f"params/trunk/{architecture.first_kernel}"
    if first_kernel in source and source[first_kernel].ndim == 4:
        source[first_kernel] = adapt(source[first_kernel])
    flat = traverse_util.flatten_dict(variables, sep="/")
    targets = {key: value for key, value in flat.items() if key.split("/")[1] == "trunk"}
    problems = mismatches({k: v.shape for k, v in source.items()}, targets)
    if problems:
        raise UserError(f"{converted.path} doesn't fit {trunk}: {'; '.join(problems)}")
    # Copied: training gives its variables' memory away, and the file may be replaced meanwhile.
    loaded = {key: jnp.array(source[key], value.dtype) for key, value in targets.items()}
    return traverse_util.unflatten_dict({**flat, **loaded}, sep="/")


def mismatches(
    shapes: Mapping[str, tuple[int, ...]], targets: Mapping[str, Any], limit: int = 8
) -> list[str]:
    """Lists what keeps ``shapes`` from filling ``targets`` (with ``.shape``) one to one.

    At most three entries: missing keys, unexpected keys, wrong shapes; ``limit`` keys in each.
    """
    missing = [key for key in targets if key not in shapes]
    unexpected = [key for key in shapes if key not in targets]
    misshapen = [
        f"{key} is {list(shapes[key])}, expected {list(target.shape)}"
        for key, target in targets.items()
        if key in shapes and tuple(shapes[key]) != tuple(target.shape)
    ]
    kinds = {"missing ": missing, "unexpected ": unexpected, "": misshapen}
    return [kind + listed(found, limit) for kind, found in kinds.items() if found]


def _of_a_run(path: Path) -> str:
    return f"{path}: expected converted weights, got those of a run, which no training begins from"


def _missing(path: Path, trunk: str) -> str:
    folder = f"{path.parent}/".replace("//", "/") if str(path.parent) != "." else "."
    made = path.with_name(f"{trunk}.safetensors")
    and_use = "" if made == path else f", which writes {made}"
    return (
        f"no converted weights at {path}{nearest(str(path), ['imagenet', 'random'])}; make them "
        f"with `ascjax convert {trunk} --out {folder}`{and_use}"
    )
