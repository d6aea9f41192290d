"""AlexNet as torchvision has it (Krizhevsky 2014, "One weird trick")."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ascjax.models import layers
from ascjax.models.trunk import Architecture


class Stage(nn.Module):
    """A convolution, ReLU and, if asked for, a 3 × 3 max-pool of stride 2."""

    channels: int
    window: int
    stride: int = 1
    padding: int = 1
    pool: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch height_out width_out channel_out"]:
        """Returns the stage's feature map; ``train`` changes nothing, as there is no BatchNorm."""
        del train
        fan_in = self.window * self.window * x.shape[-1]
        x = layers.conv(
            self.channels,
            self.window,
            self.stride,
            self.padding,
            dtype=self.dtype,
            kernel_init=layers.he_normal,
            bias_init=layers.torch_uniform_bias(fan_in),
            name="conv",
        )(x)
        x = nn.relu(x)
        return layers.max_pool(x, 3, 2) if self.pool else x


class Classifier(nn.Module):
    """torchvision's ``avgpool`` and ``classifier``."""

    num_classes: int
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Returns the logits."""
        x = layers.flatten_channels_first(layers.adaptive_avg_pool(x, 6))
        for name in ("dense1", "dense2"):
            x = layers.Dropout(self.dropout)(x, train)
            x = nn.relu(layers.dense(4096, x.shape[-1], name=name)(x))
        return layers.dense(self.num_classes, x.shape[-1], name="dense3")(x)


ARCHITECTURES = {
    "alexnet": Architecture(
        family="alexnet",
        blocks={
            "stage1": partial(Stage, 64, window=11, stride=4, padding=2, pool=True),
            "stage2": partial(Stage, 192, window=5, padding=2, pool=True),
            "stage3": partial(Stage, 384, window=3),
            "stage4": partial(Stage, 256, window=3),
            "stage5": partial(Stage, 256, window=3, pool=True),
        },
        first_kernel="stage1/conv/kernel",
        classifier=Classifier,
        min_input=(63, 63),
    )
}
