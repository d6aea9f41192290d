"""A trunk: named blocks in sequence, the first of them frozen if asked for."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ascjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One network: torchvision's, a small one of ours, or the DCASE 2018 baseline.

    Attributes:
      family: ``alexnet``, ``vgg``, ``resnet`` or ``baseline``.
      blocks: name → a function of (dtype, axis_name, name) that makes the block, in order. Blocks
        are the unit of freezing and of the converter's proof.
      first_kernel: path of the kernel that sees the input planes, below the trunk.
      classifier: a function of (num_classes, dropout, name) that makes the original top of the
        network, or None where there is no original.
      min_input: smallest numbers of mel bands and of frames that leave a feature map.
    """

    family: str
    blocks: Mapping[str, Callable[..., nn.Module]]
    first_kernel: str
    classifier: Callable[..., nn.Module] | None
    min_input: tuple[int, int]


class Trunk(nn.Module):
    """An architecture up to its last feature map (the paper's FCN).

    Attributes:
      architecture: what to build.
      num_frozen: this many first blocks neither learn nor update their BatchNorm statistics.
      dtype: of the computation; parameters are float32.
      axis_name: mapped axis over which BatchNorm synchronises, or None.
      remat: the blocks' inner activations are computed again for the gradients and not kept.
    """

    architecture: Architecture
    num_frozen: int = 0
    dtype: Any = jnp.float32
    axis_name: str | None = None
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch mel frame plane"], train: bool
    ) -> Float[Array, "batch mel_out frame_out channel"]:
        """Returns the feature map a of the paper's section 3, [batch, F', T', C]."""
        x = x.astype(self.dtype)
        for index, (name, make_block) in enumerate(self.architecture.blocks.items()):
            block = make_block(dtype=self.dtype, axis_name=self.axis_name, name=name)
            apply = functools.partial(
                type(block).__call__, train=train and index >= self.num_frozen
            )
            x = (nn.remat(apply) if self.remat else apply)(block, x)
            if index + 1 == self.num_frozen:
                # Nothing below learns: don't compute its gradients.
                x = jax.lax.stop_gradient(x)
        return x


def num_frozen(architecture: Architecture, freeze: str | int) -> int:
    """Returns the number of frozen blocks that ``freeze`` (none, trunk or a number) stands for.

    Raises:
      UserError: ``freeze`` is none of these, or there are fewer blocks.
    """
    named = {"none": 0, "trunk": len(architecture.blocks)}
    if freeze in named:
        return named[str(freeze)]
    if str(freeze).isdecimal() and int(freeze) <= len(architecture.blocks):
        return int(freeze)
    raise UserError(
        f"expected none, trunk or a number of first blocks up to "
        f"{len(architecture.blocks)} ({', '.join(architecture.blocks)}), got {freeze!r}"
    )
