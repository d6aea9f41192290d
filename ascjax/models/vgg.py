"""VGG with and without BatchNorm as torchvision has it (Simonyan & Zisserman 2015)."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ascjax.models import layers
from ascjax.models.trunk import Architecture


class Stage(nn.Module):
    """3 × 3 convolutions with ReLU (and BatchNorm before it), then a 2 × 2 max-pool."""

    num_convs: int
    channels: int
    batch_norm: bool
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch height_out width_out channel_out"]:
        """Returns the stage's feature map, half as high and wide (rounded down)."""
        kernel_init = layers.kaiming_normal if self.batch_norm else layers.he_normal
        for index in range(1, self.num_convs + 1):
            x = layers.conv(
                self.channels,
                window=3,
                padding=1,
                dtype=self.dtype,
                kernel_init=kernel_init,
                name=f"conv{index}",
            )(x)
            if self.batch_norm:
                x = layers.BatchNorm(self.axis_name, self.dtype, name=f"bn{index}")(x, train)
            x = nn.relu(x)
        return layers.max_pool(x, 2, 2)


class Classifier(nn.Module):
    """torchvision's ``avgpool`` and ``classifier``."""

    num_classes: int
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Returns the logits."""
        dense = partial(nn.Dense, kernel_init=nn.initializers.normal(0.01))
        x = layers.flatten_channels_first(layers.adaptive_avg_pool(x, 7))
        for name in ("dense1", "dense2"):
            x = nn.relu(dense(4096, name=name)(x))
            x = layers.Dropout(self.dropout)(x, train)
        return dense(self.num_classes, name="dense3")(x)


def _vgg(
    num_convs: tuple[int, ...],
    batch_norm: bool,
    channels: tuple[int, ...] = (64, 128, 256, 512, 512),
    classifier: Any = Classifier,
) -> Architecture:
    return Architecture(
        family="vgg",
        blocks={
            f"stage{index}": partial(Stage, *widths, batch_norm=batch_norm)
            for index, widths in enumerate(zip(num_convs, channels, strict=True), start=1)
        },
        first_kernel="stage1/conv1/kernel",
        classifier=classifier,
        min_input=(32, 32),
    )


# Convolutions in each stage.
NUM_CONVS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
ARCHITECTURES = {
    **{
        name + suffix: _vgg(num_convs, batch_norm=suffix == "_bn")
        for name, num_convs in NUM_CONVS.items()
        for suffix in ("", "_bn")
    },
    # Ours, for the quickstart and the tests: there is no such network in torchvision.
    "vgg_tiny": _vgg(
        (1, 1, 1, 1, 1), batch_norm=True, channels=(16, 32, 64, 128, 128), classifier=None
    ),
    # Ours, for DCASE's limit of 128 kB in int8: about 103,000 parameters with ten scenes.
    "vgg_micro": _vgg(
        (1, 1, 1, 1, 1), batch_norm=True, channels=(16, 32, 48, 64, 96), classifier=None
    ),
}
