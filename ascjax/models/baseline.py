"""The baseline of DCASE 2018 task 1, as published in Keras: a trunk and a head of its own.

For 40 mel bands × 500 frames and 10 scenes it has 116,118 parameters, of which 96 are BatchNorm's
running statistics and not trained. The second pool takes all the frames there are, 100 columns at
500 frames, so that recordings of other lengths do as well. Pools drop a remainder: 501 frames, of
10 s with centred windows, give the same feature map as 500.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ascjax.models import layers
from ascjax.models.trunk import Architecture


class Block(nn.Module):
    """A 7 × 7 convolution, BatchNorm over the mel axis, ReLU, a max-pool and dropout.

    BatchNorm has Keras' constants: one mean and one variance for each mel band, over all channels.
    """

    channels: int
    pool: Callable[[Array], Array]
    dropout: float = 0.3
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch mel frame channel"], train: bool
    ) -> Float[Array, "batch mel_out frame_out channel_out"]:
        """Returns the block's feature map, as small as the pool makes it."""
        x = layers.conv(
            self.channels,
            window=7,
            padding=3,
            dtype=self.dtype,
            kernel_init=nn.initializers.glorot_uniform(),
            name="conv",
        )(x)
        norm = layers.BatchNorm(
            self.axis_name, self.dtype, momentum=0.99, epsilon=1e-3, axis=1, name="bn"
        )
        x = self.pool(nn.relu(norm(x, train)))
        return layers.Dropout(self.dropout, self.axis_name)(x, train)


class Head(nn.Module):
    """Flatten, dense with ReLU, dropout, dense to the scenes.

    Attributes:
      num_scenes: K.
      dropout: rate before the last dense layer.
      head_width: of the first dense layer; 100 in the original.
      axis_name: mapped axis over which a batch is spread, or None.
    """

    num_scenes: int
    dropout: float = 0.0
    head_width: int = 256
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch mel frame channel"], train: bool
    ) -> Float[Array, "batch {self.num_scenes}"]:
        """Returns the logits."""
        x = features.reshape(features.shape[0], -1)
        x = nn.relu(nn.Dense(self.head_width, kernel_init=_keras_uniform, name="hidden")(x))
        x = layers.Dropout(self.dropout, self.axis_name)(x, train)
        return nn.Dense(self.num_scenes, kernel_init=_keras_uniform, name="dense")(x)


def _keras_uniform(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    # The "uniform" that the original names for its dense layers.
    return jax.random.uniform(key, shape, dtype, -0.05, 0.05)


def _pool_all_frames(
    x: Float[Array, "batch mel frame channel"],
) -> Float[Array, "batch mel_out 1 channel"]:
    window = (4, x.shape[2])
    return nn.max_pool(x, window, strides=window)


ARCHITECTURES = {
    "baseline": Architecture(
        family="baseline",
        blocks={
            "block1": partial(Block, 32, pool=partial(layers.max_pool, window=5, stride=5)),
            "block2": partial(Block, 64, pool=_pool_all_frames),
        },
        first_kernel="block1/conv/kernel",
        classifier=None,
        min_input=(20, 5),
    )
}
