"""torchvision as the reference: its networks, what each of their blocks gives, its own weights."""

import contextlib
import glob
import importlib
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ascjax.errors import UserError

from .checkpoint import sha256
from .keymaps import KEY_MAPS

# A partial download older than this has ended.
STALE_S = 3600.0
# Keeps the declared operators alive.
_declarations: list[Any] = []


class Official(NamedTuple):
    """One of torchvision's own checkpoints."""

    url: str
    label: str
    classes: tuple[str, ...]

    @property
    def sha256_prefix(self) -> str:
        """The first 8 digits of the file's SHA-256, which its name carries."""
        return Path(self.url).stem.rpartition("-")[2]


class Output(NamedTuple):
    """What a block of the reference gives, and the scale that differences from it are measured by.

    Attributes:
      values: [batch, height, width, channel], or logits [batch, class].
      scale: the largest magnitude; of logits, at least the root of the sum of the squares of the
        terms that make one.
    """

    values: np.ndarray
    scale: float


@cache
def import_torchvision() -> Any:
    """Imports torchvision, which may be built for another torch than the one that is there.

    From the package index it is built for CUDA. Beside a CPU-only torch its operators are missing,
    and its import fails at their registration unless they are declared; the networks use neither.

    Raises:
      UserError: torch or torchvision isn't installed.
    """
    try:
        import torch

        try:
            return importlib.import_module("torchvision")
        except RuntimeError:
            library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _declarations.append(library)
            return importlib.import_module("torchvision")
    except ImportError as error:
        raise UserError(
            f"the proof and the download need torch and torchvision ({error}): "
            "pip install 'ascjax[convert]', or give --no-proof and --source"
        ) from error


def activations(
    architecture: str,
    source: Mapping[str, np.ndarray],
    num_classes: int | None,
    images: Sequence[np.ndarray],
) -> list[dict[str, Output]]:
    """Runs torchvision's network, in inference mode, on weights in its own layout.

    Args:
      architecture: one of ``KEY_MAPS``.
      source: the checkpoint; its arrays are used where they lie.
      num_classes: length of the logits, or None for the trunk alone.
      images: each [batch, height, width, plane], float32, of as many planes as the first kernel's.

    Returns:
      For each image, block → [batch, height, width, channel], and ``logits`` [batch, class].
    """
    import torch

    key_map = KEY_MAPS[architecture]
    # Without memory of its own: the checkpoint's arrays become the network's.
    with torch.device("meta"):
        make = import_torchvision().models.get_model
        model = make(architecture, weights=None, num_classes=num_classes or 1000).eval()
    state = {key: torch.from_numpy(array.astype("f4", copy=False)) for key, array in source.items()}
    first = key_map.rows[0].source  # which may see one plane
    model.get_submodule(first).weight = torch.nn.Parameter(state[f"{first}.weight"])
    model.load_state_dict(state, strict=False, assign=True)
    outputs: dict[str, Output] = {}

    def keep(block: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            values = output.permute(0, 2, 3, 1).numpy(force=True).copy()
            outputs[block] = Output(values, _largest(values))

        return hook

    def keep_logits(module: Any, inputs: Any, output: Any) -> None:
        values = output.numpy(force=True).copy()
        # The spread of a sum of such terms: logits near 0 by chance have errors of this scale too.
        squares = inputs[0].square() @ module.weight.square().T + module.bias.square()
        spread = float(squares.sqrt().max())
        outputs["logits"] = Output(values, max(_largest(values), spread))

    for block, end in key_map.block_ends.items():
        model.get_submodule(end).register_forward_hook(keep(block))
    if num_classes is None:
        setattr(model, key_map.top, torch.nn.Identity())
    else:
        model.get_submodule(key_map.rows[-1].source).register_forward_hook(keep_logits)
    results = []
    for image in images:
        with torch.inference_mode():
            model(torch.from_numpy(image).permute(0, 3, 1, 2))
        results.append(dict(outputs))
    return results


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max())


def versions() -> dict[str, str]:
    """Returns the versions of torch and torchvision."""
    import torch

    return {"torch": torch.__version__, "torchvision": import_torchvision().__version__}


def official(architecture: str) -> list[Official]:
    """Returns torchvision's own checkpoints of an architecture, its default first."""
    weights = import_torchvision().models.get_model_weights(architecture)
    ordered = [weights.DEFAULT, *(entry for entry in weights if entry is not weights.DEFAULT)]
    return [
        Official(entry.url, str(entry), tuple(entry.meta["categories"] or ())) for entry in ordered
    ]


def download(architecture: str) -> Path:
    """Fetches torchvision's default checkpoint into torch's own cache, with a progress bar.

    Raises:
      UserError: no network, or the content's SHA-256 doesn't begin as the file's name says.
    """
    import torch

    default = official(architecture)[0]
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(default.url).name
    by_hand = f"bring {path.name} here by other means and give it with --source"
    if not path.is_file():
        _remove_stale(path)
        print(f"fetching {default.url}", flush=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            prefix = default.sha256_prefix
            torch.hub.download_url_to_file(default.url, str(path), hash_prefix=prefix)
        except OSError as error:  # urllib's errors are of this kind
            reason = getattr(error, "reason", None) or error
            raise UserError(f"could not fetch {default.url} ({reason}): {by_hand}") from error
        except RuntimeError as error:  # nothing is kept of a file with another hash
            raise UserError(
                f"{default.url}: what came has no SHA-256 that begins with {prefix} (incomplete, "
                f"or not what torchvision published): try again, or {by_hand}"
            ) from error
    if not sha256([path]).startswith(default.sha256_prefix):
        raise UserError(
            f"{path}: its SHA-256 doesn't begin with {default.sha256_prefix}, so it isn't what "
            f"torchvision published: delete it and try again, or {by_hand}"
        )
    return path


def _remove_stale(path: Path) -> None:
    """Removes what killed downloads left: torch's partial files that haven't grown for an hour."""
    for partial in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > STALE_S:
                partial.unlink()
