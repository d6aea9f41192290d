"""torchvision as the reference: its networks, what each of their blocks gives, its own weights."""

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ascjax.errors import UserError
from convert.checkpoint import sha256
from convert.keymaps import KEY_MAPS

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
) -> list[dict[str, np.ndarray]]:
    """Runs torchvision's network, in inference mode, on weights in its own layout.

    Args:
      architecture: one of ``KEY_MAPS``.
      source: the checkpoint; its arrays are used where they lie.
      num_classes: length of the logits, or None for the trunk alone.
      images: each [batch, height, width, 3], float32.

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
    model.load_state_dict(state, strict=False, assign=True)
    if num_classes is None:
        setattr(model, key_map.top, torch.nn.Identity())
    outputs: dict[str, np.ndarray] = {}

    def keep(block: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            outputs[block] = output.permute(0, 2, 3, 1).numpy(force=True).copy()

        return hook

    for block, end in key_map.block_ends.items():
        model.get_submodule(end).register_forward_hook(keep(block))
    results = []
    for image in images:
        with torch.inference_mode():
            logits = model(torch.from_numpy(image).permute(0, 3, 1, 2))
        if num_classes is not None:
            outputs["logits"] = logits.numpy()
        results.append(dict(outputs))
    return results


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
    if not sha256(path).startswith(default.sha256_prefix):
        raise UserError(
            f"{path}: its SHA-256 doesn't begin with {default.sha256_prefix}, so it isn't what "
            f"torchvision published: delete it and try again, or {by_hand}"
        )
    return path
