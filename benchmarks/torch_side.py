"""PyTorch's side: the same networks from torchvision's layers, with our weights, in each fast way.

torch is imported when a function is called, so that programs tell what is missing.
"""

import os
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from ascjax.errors import UserError
from benchmarks.ours import DEVIATION, MEAN
from convert.keymaps import KEY_MAPS, source_of
from convert.reference import import_torchvision

VARIANTS = ("eager", "channels_last", "compile")


def variants(compiled: bool) -> tuple[tuple[str, ...], str]:
    """Returns the ways to run a network here, and a note if torch.compile is none of them."""
    if not compiled:
        return VARIANTS[:2], "torch.compile left out by --quick or --no_compile; "
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        return VARIANTS[:2], "torch.compile left out: no C++ compiler; "
    return VARIANTS, ""


def prepare() -> str:
    """Sets threads and cuDNN's autotuning up; returns the device, which is JAX's kind of one."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    if jax.default_backend() == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise UserError("JAX has a GPU here and PyTorch none: install one that is built for CUDA")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # as JAX's default on a GPU
    return "cuda"


def network(trunk: str, head: str, variables: Any) -> Any:
    """Returns torchvision's trunk for one plane, followed by our head, with our variables."""
    import torch

    whole = import_torchvision().models.get_model(trunk, weights=None)
    key_map = KEY_MAPS[trunk]
    flat = traverse_util.flatten_dict(variables, sep="/")
    state = {}
    for path, leaf in flat.items():
        if "/head/" not in path:
            key, axes = source_of(path, key_map)
            state[key] = torch.tensor(
                np.asarray(leaf).transpose(np.argsort(axes) if axes else None)
            )
    first = whole.get_submodule(key_map.rows[0].source)
    first.in_channels = 1
    first.weight = torch.nn.Parameter(first.weight[:, :1])
    # What else is in the state of torchvision's network belongs to its own classifier.
    problems = whole.load_state_dict(state, strict=False)
    assert not problems.unexpected_keys
    if hasattr(whole, "features"):
        layers = whole.features
    else:
        layers = torch.nn.Sequential(*list(whole.children())[:-2])
    return torch.nn.Sequential(layers, _head(head, variables["params"]["head"]))


def _head(name: str, params: Any) -> Any:
    import torch

    def linear(layer: Any) -> torch.nn.Linear:
        made = torch.nn.Linear(*layer["kernel"].shape)
        made.weight.data = torch.tensor(np.asarray(layer["kernel"]).T)
        made.bias.data = torch.tensor(np.asarray(layer["bias"]))
        return made

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = linear(params["dense"])
            if name == "mlp":
                self.w = linear(params["w"])
                self.u = torch.nn.Parameter(torch.tensor(np.asarray(params["u"])))

        def forward(self, a: torch.Tensor) -> torch.Tensor:
            if name == "mlp":
                e = self.u * torch.tanh(self.w(a.permute(0, 2, 3, 1)))
                return self.dense(e.mean((1, 2)))
            return self.dense(a.mean((2, 3)))

    return Head()


def _placed(model: Any, variant: str, device: str) -> tuple[Any, dict[str, Any]]:
    """Returns a model in a variant, and how its inputs must be laid out."""
    import torch

    layout = torch.contiguous_format if variant == "eager" else torch.channels_last
    model = model.to(device, memory_format=layout)
    return torch.compile(model) if variant == "compile" else model, {"memory_format": layout}


def train_step(
    model: Any, inputs: dict[str, np.ndarray], variant: str, *, bfloat16: bool = False
) -> Callable[[], Any]:
    """Returns a function that takes one step as our recipe does and returns its loss, a tensor.

    That is: normalisation, cross entropy, the gradient clipped to norm 1, AdamW at 2e-4 with decay
    1e-2 on what has more than one axis.
    """
    import torch

    device = prepare()
    model, layout = _placed(model.train(), variant, device)
    x = torch.tensor(inputs["log_mel"]).permute(0, 3, 1, 2).to(device).contiguous(**layout)
    label = torch.tensor(inputs["label"]).long().to(device)
    params = list(model.parameters())
    groups = [
        {"params": [p for p in params if p.ndim > 1], "weight_decay": 1e-2},
        {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=2e-4, fused=True)

    def run() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            logits = model((x - MEAN) / DEVIATION)
        loss = torch.nn.functional.cross_entropy(logits.float(), label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        return loss.detach()

    return run


def posteriors(
    model: Any, variant: str, batch: int, *, bfloat16: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from fragments [fragment, mel, frame, 1] to posteriors [fragment, scene].

    Args:
      model: of ``network``.
      variant: one of ``VARIANTS``.
      batch: fragments at a time.
      bfloat16: whether autocast is on.
    """
    import torch

    device = prepare()
    model, layout = _placed(model.eval(), variant, device)

    def run(log_mel: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(log_mel).permute(0, 3, 1, 2).to(device).contiguous(**layout)
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            logits = [model((part - MEAN) / DEVIATION) for part in x.split(batch)]
        return torch.softmax(torch.cat(logits).float(), -1).cpu().numpy()

    return run
