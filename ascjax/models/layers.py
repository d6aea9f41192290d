"""Layers that trunks share, with torch's semantics where Flax's or XLA's differ."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ascjax.compute import convolution
from ascjax.compute.devices import example_keys

# He et al. 2015, equation 14, as torchvision has it before BatchNorm: gradients keep their size ...
kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# ... and equation 10, where no BatchNorm mends the size of activations. By VGG-16's last stage they
# would be 23 times smaller from the other, which torchvision takes there too, and by AlexNet's 88
# times from its uniform start.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# torch's default for every fresh dense layer: U(±1/√fan_in).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def torch_uniform_bias(fan_in: int) -> Callable[..., Array]:
    """Returns torch's default initialiser of a bias: U(±1/√fan_in)."""

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        bound = 1 / math.sqrt(fan_in)
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def conv(channels: int, window: int, stride: int = 1, padding: int = 0, **kwargs: Any) -> nn.Conv:
    """Returns a square convolution with torch's padding: as much before as after.

    XLA's ``SAME`` pads more after than before where the stride doesn't divide the size.
    """
    return nn.Conv(
        channels,
        (window, window),
        (stride, stride),
        [(padding, padding)] * 2,
        conv_general_dilated=convolution.convolve,
        **kwargs,
    )


def dense(features: int, fan_in: int, **kwargs: Any) -> nn.Dense:
    """Returns a dense layer that starts as torch's ``Linear(fan_in, features)`` does."""
    return nn.Dense(
        features, kernel_init=torch_uniform, bias_init=torch_uniform_bias(fan_in), **kwargs
    )


class Dropout(nn.Module):
    """Dropout whose masks don't depend on how many devices share the batch.

    Each example's mask is drawn by its position in the batch over all devices, where
    ``flax.linen.Dropout`` draws one mask for the examples of a device.

    Attributes:
      rate: probability that a value is dropped, 0..1; the others are divided by 1 − rate.
      axis_name: mapped axis over which a batch is spread, or None.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."], train: bool) -> Float[Array, "batch ..."]:
        """Drops values in training (needs an rng ``dropout``); returns ``x`` otherwise."""
        if not train or self.rate == 0:
            return x
        axis_name = None if self.is_initializing() else self.axis_name
        keys = example_keys(self.make_rng("dropout"), len(x), axis_name)
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, x.shape[1:]))(keys)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))


class BatchNorm(nn.Module):
    """Batch normalisation that trains exactly like torch's ``BatchNorm2d``.

    ``flax.linen.BatchNorm`` keeps the biased variance as its running variance; torch keeps the
    unbiased one (n/(n−1) of it) and normalises by the biased one. Both are done here. Keras 2.1, in
    which the DCASE 2018 baseline was published, does the same over any axis.

    Attributes:
      axis_name: mapped axis over whose devices the batch's statistics are taken together, or None.
      dtype: of the output. Statistics are always kept and computed in float32 (or better).
      momentum: share of the old running statistics kept at each step; torch's 0.1 is 0.9 here.
      epsilon: added to the variance.
      axis: what has a mean and a variance each: the channel (3) or the mel band (1).
    """

    axis_name: str | None = None
    dtype: Any = jnp.float32
    momentum: float = 0.9
    epsilon: float = 1e-5
    axis: int = 3

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], train: bool
    ) -> Float[Array, "batch height width channel"]:
        """Normalises by the batch's statistics in training, by the running ones otherwise."""
        size = (x.shape[self.axis],)
        shape = tuple(n if i == self.axis else 1 for i, n in enumerate(x.shape))
        scale = self.param("scale", nn.initializers.ones, size).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros, size).reshape(shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, size)
        running_var = self.variable("batch_stats", "var", jnp.ones, size)
        x = x.astype(jnp.promote_types(jnp.float32, x.dtype))
        if train:
            mean, var, unbiased = self._batch_statistics(x)
            if not self.is_initializing():
                for running, new in ((running_mean, mean), (running_var, unbiased)):
                    kept = self.momentum * running.value
                    running.value = kept + (1 - self.momentum) * new.reshape(-1)
        else:
            mean, var = running_mean.value.reshape(shape), running_var.value.reshape(shape)
        scale = jax.lax.rsqrt(var + self.epsilon) * scale
        # Deviations from a mean sum to zero: it acts on the output as the bias does, and not on the
        # variance. Written like this its gradient takes no pass over the feature map.
        center = jax.lax.stop_gradient(mean)
        return ((x - center) * scale + (bias - (mean - center) * scale)).astype(self.dtype)

    def _batch_statistics(self, x: Array) -> tuple[Array, Array, Array]:
        """Returns mean, biased and unbiased variance, one of each along ``axis``."""
        # Parameters are made outside the mapped function, where the axis doesn't exist.
        axis_name = None if self.is_initializing() else self.axis_name
        others = tuple(i for i in range(x.ndim) if i != self.axis)
        count = x.size // x.shape[self.axis]
        if axis_name is not None:
            count = count * jax.lax.axis_size(axis_name)

        def mean_over_all(values: Array) -> Array:
            local = values.mean(others, keepdims=True)
            return local if axis_name is None else jax.lax.pmean(local, axis_name)

        mean = mean_over_all(x)
        var = mean_over_all(jnp.square(x - jax.lax.stop_gradient(mean)))
        return mean, var, var * (count / max(count - 1, 1))


def max_pool(
    x: Float[Array, "batch height width channel"], window: int, stride: int, padding: int = 0
) -> Float[Array, "batch out_height out_width channel"]:
    """Max-pools as torch's ``MaxPool2d`` does (sizes rounded down, the first of equals wins).

    By selections of slices, one axis after the other: on the CPU the gradient of XLA's windowed
    maximum is several times slower. Within ``convolution.use("xla")`` it is that.
    """
    if convolution.implementation() == "xla":
        around = [(padding, padding)] * 2
        return nn.max_pool(x, (window, window), (stride, stride), around)
    for axis in (2, 1):
        edges = [(0, 0, 0)] * x.ndim
        edges[axis] = (padding, padding, 0)
        x = jax.lax.pad(x, jnp.array(-jnp.inf, x.dtype), edges)
        count = max((x.shape[axis] - window) // stride + 1, 0)
        slices = [
            jax.lax.slice_in_dim(x, start, start + stride * (count - 1) + 1, stride, axis)
            if count
            else jax.lax.slice_in_dim(x, 0, 0, axis=axis)
            for start in range(window)
        ]
        x = functools.reduce(_first_max, slices)
    return x


def _first_max(a: Array, b: Array) -> Array:
    # A selection and not `jnp.maximum`, which would share the gradient among equals.
    return jnp.where((b > a) | jnp.isnan(b), b, a)


def adaptive_avg_pool(
    x: Float[Array, "batch height width channel"], side: int
) -> Float[Array, "batch {side} {side} channel"]:
    """Averages over ``side × side`` bins as torch's ``AdaptiveAvgPool2d`` does.

    Bin i covers floor(i·n/side) up to ceil((i+1)·n/side): bins overlap where side doesn't divide n,
    and repeat where n < side.
    """
    rows, columns = (jnp.asarray(_bins(size, side), x.dtype) for size in x.shape[1:3])
    return jnp.einsum("bhwc,ih,jw->bijc", x, rows, columns, precision="highest")


def _bins(size: int, side: int) -> np.ndarray:
    """Returns the averaging matrix [side, size] of one axis."""
    index = np.arange(size)
    start = np.arange(side)[:, None] * size // side
    stop = -(-(np.arange(side)[:, None] + 1) * size // side)
    inside = (start <= index) & (index < stop)
    return inside / inside.sum(axis=1, keepdims=True)


def flatten_channels_first(
    x: Float[Array, "batch height width channel"],
) -> Float[Array, "batch f"]:
    """Flattens in torch's order (channel, height, width), in which its dense kernels are stored."""
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
