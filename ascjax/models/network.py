"""Whole networks: a trunk with one of our heads, or with torchvision's own classifier."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ascjax.compute import convolution
from ascjax.errors import UserError, choose
from ascjax.models import alexnet, baseline, resnet, vgg
from ascjax.models.heads import HEADS
from ascjax.models.trunk import Architecture, Trunk, num_frozen

TRUNKS: dict[str, Architecture] = {
    **alexnet.ARCHITECTURES,
    **vgg.ARCHITECTURES,
    **resnet.ARCHITECTURES,
    **baseline.ARCHITECTURES,
}
COMPUTE_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Network(nn.Module):
    """A trunk and what follows it, under the names ``trunk`` and ``head`` or ``classifier``.

    Attributes:
      trunk_name: one of ``TRUNKS``.
      make_top: a function of ``name`` that makes the module after the trunk.
      top_name: ``head`` or ``classifier``.
      planes: input planes that the first kernel sees; a single plane is repeated to as many.
      num_frozen, dtype, axis_name, remat: as in ``Trunk``.
      convolutions: one of ``compute.convolution.IMPLEMENTATIONS``.
    """

    trunk_name: str
    make_top: Any
    top_name: str = "head"
    planes: int = 1
    num_frozen: int = 0
    dtype: Any = jnp.float32
    axis_name: str | None = None
    remat: bool = False
    convolutions: str = "auto"

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch mel frame plane"], train: bool
    ) -> Float[Array, "batch scene"]:
        """Returns logits in float32.

        Args:
          x: input planes, of any scale (the trunk was trained on values around −2..2).
          train: True draws dropout masks (needs an rng ``dropout``), normalises by the batch's
            statistics and updates the running ones (needs ``mutable=["batch_stats"]``).

        Raises:
          UserError: the input is too small for the trunk.
        """
        check_input(self.trunk_name, *x.shape[1:3])
        if x.shape[-1] == 1:
            x = jnp.repeat(x, self.planes, axis=-1)
        trunk = Trunk(
            TRUNKS[self.trunk_name],
            self.num_frozen,
            self.dtype,
            self.axis_name,
            self.remat,
            name="trunk",
        )
        with convolution.use(self.convolutions):
            features = trunk(x, train)
        features = features.astype(jnp.promote_types(jnp.float32, features.dtype))
        return self.make_top(name=self.top_name)(features, train)


def create_model(
    trunk: str,
    head: str,
    num_scenes: int,
    *,
    head_width: int = 256,
    dropout: float = 0.0,
    compute_dtype: str = "float32",
    axis_name: str | None = None,
    remat: bool = False,
    freeze: str | int = "none",
    planes: int = 1,
    convolutions: str = "auto",
) -> nn.Module:
    """Returns the network of the paper: ``trunk`` made fully convolutional, then ``head``.

    Args:
      trunk: one of ``TRUNKS``.
      head: one of ``HEADS``.
      num_scenes: K, the number of scenes.
      head_width: C' of the ``mlp`` head (equation 2), or of ``baseline``'s hidden layer.
      dropout: rate just before the last dense layer, 0..1; ``baseline``'s trunk has its own.
      compute_dtype: ``float32`` or ``bfloat16``, of the trunk's computation. Parameters, BatchNorm
        statistics, the head and the logits are float32 always.
      axis_name: mapped axis (of ``pmap``) over whose devices BatchNorm statistics are taken
        together and dropout masks drawn by position, or None.
      remat: the trunk's inner activations are computed again for the gradients and not kept, so
        that a larger batch fits; slower.
      freeze: ``none``, ``trunk`` or how many first blocks are frozen: no gradient, and BatchNorm
        by its running statistics, which stay as they are. See also ``frozen_mask``.
      planes: planes that the first kernel sees; a one-plane input is repeated to as many. More than
        1 is for weights loaded with ``input_channel="replicate"``.
      convolutions: ``auto`` (ascjax's own on the CPU) or ``xla``.

    Returns:
      A module called with ``x [batch, mel, frame, plane]`` and ``train``; logits [batch, scene].

    Raises:
      UserError: an unknown name, or more blocks to freeze than there are.
    """
    architecture = choose("trunk", trunk, TRUNKS)
    head_type = choose("head", head, HEADS)

    make_head: Any = partial(
        head_type, num_scenes, dropout=dropout, head_width=head_width, axis_name=axis_name
    )
    return Network(
        trunk,
        make_head,
        planes=planes,
        num_frozen=num_frozen(architecture, freeze),
        dtype=choose("compute dtype", compute_dtype, COMPUTE_DTYPES),
        axis_name=axis_name,
        remat=remat,
        convolutions=convolutions,
    )


def create_full(architecture: str, num_classes: int = 1000, *, dropout: float = 0.5) -> nn.Module:
    """Returns torchvision's whole network, for three-plane images: what a checkpoint was made with.

    Args:
      architecture: one of ``TRUNKS`` that torchvision has.
      num_classes: length of the logits.
      dropout: rate in the classifiers of AlexNet and VGG; torchvision's is 0.5.

    Raises:
      UserError: an unknown name, or one that torchvision doesn't have.
    """
    originals = {name: spec for name, spec in TRUNKS.items() if spec.classifier is not None}
    make_classifier = choose("architecture", architecture, originals).classifier
    assert make_classifier is not None

    def make_top(name: str) -> nn.Module:
        return make_classifier(num_classes, dropout=dropout, name=name)

    return Network(architecture, make_top, top_name="classifier", planes=3)


def posteriors(logits: Float[Array, "batch scene"]) -> Float[Array, "batch scene"]:
    """Returns the softmax of logits, NaN where one of a row's is not finite.

    XLA's softmax on the CPU makes numbers of NaN, such as −3.15.
    """
    finite = jnp.isfinite(logits).all(-1, keepdims=True)
    return jnp.where(finite, jax.nn.softmax(logits), jnp.nan)


def min_input(trunk: str) -> tuple[int, int]:
    """Returns the smallest (mel, frame) for which the trunk's feature map isn't empty."""
    return choose("trunk", trunk, TRUNKS).min_input


def check_input(trunk: str, mel: int, frame: int) -> None:
    """Checks that an input leaves a feature map: a mean over nothing would be NaN.

    Raises:
      UserError: it doesn't; the message says how many mel bands and frames are needed.
    """
    min_mel, min_frame = min_input(trunk)
    if mel < min_mel or frame < min_frame:
        raise UserError(
            f"{trunk} needs at least {min_mel} mel bands × {min_frame} frames, got {mel} × {frame}"
        )


def frozen_mask(params: PyTree, trunk: str, freeze: str | int) -> PyTree:
    """Says which parameters are frozen, for an optimiser that must not move (or decay) them.

    Args:
      params: the network's ``params`` collection, with ``trunk`` at its top.
      trunk: one of ``TRUNKS``.
      freeze: as in ``create_model``.

    Returns:
      The structure of ``params`` with a bool at each leaf; True is frozen.

    Raises:
      UserError: as ``create_model``.
    """
    architecture = choose("trunk", trunk, TRUNKS)
    frozen = list(architecture.blocks)[: num_frozen(architecture, freeze)]

    def is_frozen(path: tuple[Any, ...], _: Any) -> bool:
        top, block = path[0].key, path[1].key
        return top == "trunk" and block in frozen

    return jax.tree_util.tree_map_with_path(is_frozen, params)
