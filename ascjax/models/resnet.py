"""ResNet (He et al. 2016) as torchvision has it: v1.5, a bottleneck's stride in its 3 × 3."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ascjax.models import layers
from ascjax.models.trunk import Architecture


class ConvNorm(nn.Module):
    """A convolution without bias, then BatchNorm."""

    channels: int
    window: int
    stride: int = 1
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch height_out width_out channel_out"]:
        """Returns the normalised feature map, smaller by the stride (rounded up)."""
        x = layers.conv(
            self.channels,
            self.window,
            self.stride,
            padding=self.window // 2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=layers.kaiming_normal,
            name="conv",
        )(x)
        return layers.BatchNorm(self.axis_name, self.dtype, name="bn")(x, train)


class Stem(nn.Module):
    """7 × 7 convolution of stride 2, BatchNorm, ReLU and a 3 × 3 max-pool of stride 2."""

    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch height_out width_out 64"]:
        """Returns the stem's feature map, a quarter as high and wide (rounded up)."""
        x = ConvNorm(64, 7, 2, self.dtype, self.axis_name, name="conv1")(x, train)
        return layers.max_pool(nn.relu(x), 3, 2, padding=1)


class Residual(nn.Module):
    """torchvision's ``BasicBlock`` (two 3 × 3) or, with ``bottleneck``, 1 × 1, 3 × 3, 1 × 1."""

    channels: int
    stride: int
    bottleneck: bool
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch height_out width_out channel_out"]:
        """Returns relu(shortcut + residual)."""
        conv = partial(ConvNorm, dtype=self.dtype, axis_name=self.axis_name)
        if self.bottleneck:
            y = nn.relu(conv(self.channels, 1, name="conv1")(x, train))
            y = nn.relu(conv(self.channels, 3, self.stride, name="conv2")(y, train))
            y = conv(4 * self.channels, 1, name="conv3")(y, train)
        else:
            y = nn.relu(conv(self.channels, 3, self.stride, name="conv1")(x, train))
            y = conv(self.channels, 3, name="conv2")(y, train)
        if x.shape[-1] != y.shape[-1]:
            x = conv(y.shape[-1], 1, self.stride, name="shortcut")(x, train)
        return nn.relu(x + y)


class Stage(nn.Module):
    """Residual units of one width, the first of them with the stride."""

    num_units: int
    channels: int
    stride: int
    bottleneck: bool
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch height_out width_out channel_out"]:
        """Returns the stage's feature map, smaller by the stride (rounded up)."""
        unit = partial(
            Residual,
            self.channels,
            bottleneck=self.bottleneck,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        for index in range(self.num_units):
            stride = self.stride if index == 0 else 1
            x = unit(stride=stride, name=f"unit{index}")(x, train)
        return x


class Classifier(nn.Module):
    """torchvision's ``avgpool`` and ``fc``. There is no dropout in it, whatever is asked for."""

    num_classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Returns the logits."""
        del train
        return layers.dense(self.num_classes, x.shape[-1], name="dense")(x.mean((1, 2)))


def _resnet(num_units: tuple[int, int, int, int], bottleneck: bool) -> Architecture:
    stages = {
        f"stage{index}": partial(
            Stage, units, 32 * 2**index, stride=1 if index == 1 else 2, bottleneck=bottleneck
        )
        for index, units in enumerate(num_units, start=1)
    }
    return Architecture(
        family="resnet",
        blocks={"stem": Stem, **stages},
        first_kernel="stem/conv1/conv/kernel",
        classifier=Classifier,
        min_input=(1, 1),
    )


ARCHITECTURES = {
    "resnet18": _resnet((2, 2, 2, 2), bottleneck=False),
    "resnet34": _resnet((3, 4, 6, 3), bottleneck=False),
    "resnet50": _resnet((3, 4, 6, 3), bottleneck=True),
    "resnet101": _resnet((3, 4, 23, 3), bottleneck=True),
    "resnet152": _resnet((3, 8, 36, 3), bottleneck=True),
}
