"""A trunk of one convolution, which compiles in a second: registered as ``tiny`` on import."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ascjax.models import TRUNKS, Architecture, layers


class Block(nn.Module):
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        x = layers.conv(8, window=4, stride=4, dtype=self.dtype, name="conv")(x)
        x = nn.relu(layers.BatchNorm(self.axis_name, self.dtype, name="bn")(x, train))
        return layers.max_pool(x, 4, 4)


TRUNKS["tiny"] = Architecture("tiny", {"block": Block}, "block/conv/kernel", None, (16, 16))
