"""A convolution whose weight gradient is fast on the CPU too.

XLA computes the gradient of a kernel as a convolution with a window as large as the feature map; on
the CPU that is 1.3 to 4.5 times slower, for maps larger than their kernels, than the products of
matrices here (benchmarks/train_step.py). On other platforms XLA's own is used.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Below so many positions in a feature map, or for a single example, XLA's own gradient is as fast.
MIN_POSITIONS = 400


def convolve(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "rows columns channel channel_out"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **kwargs: Any,
) -> Float[Array, "batch height_out width_out channel_out"]:
    """Returns what ``lax.conv_general_dilated`` does; made for ``flax.linen.Conv``.

    Reverse-mode gradients of it are the same up to rounding. Forward-mode ones exist only where the
    map is small.
    """

    def plain(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(x, kernel, strides, padding, **kwargs)

    out = jax.eval_shape(plain, x, kernel)
    if out.shape[1] * out.shape[2] < MIN_POSITIONS or len(x) == 1:
        return plain(x, kernel)

    @jax.custom_vjp
    def with_fast_gradient(x: Array, kernel: Array) -> Array:
        return plain(x, kernel)

    def forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
        return plain(x, kernel), (x, kernel)

    def backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
        x, kernel = kept

        def of_kernel(x: Array, gradient: Array) -> Array:
            return jax.vjp(lambda kernel: plain(x, kernel), kernel)[1](gradient)[0]

        def of_kernel_by_products(x: Array, gradient: Array) -> Array:
            return _kernel_gradient(x, gradient, kernel.shape[:2], strides, padding)

        by_platform = lax.platform_dependent(
            x, gradient, cpu=of_kernel_by_products, default=of_kernel
        )
        return jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)[0], by_platform

    with_fast_gradient.defvjp(forward, backward)
    return with_fast_gradient(x, kernel)


def _kernel_gradient(
    x: Float[Array, "batch height width channel"],
    gradient: Float[Array, "batch height_out width_out channel_out"],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "rows columns channel channel_out"]:
    """Returns the sum over examples of gradientᵀ · im2col(x), an example at a time."""
    height, width, channels_out = gradient.shape[1:]
    down, right = strides
    shifts = [(row, column) for row in range(window[0]) for column in range(window[1])]

    def add(total: Array, example: tuple[Array, Array]) -> tuple[Array, None]:
        plane, slope = example
        plane = jnp.pad(plane, (*padding, (0, 0)))
        patches = [plane[row::down, column::right][:height, :width] for row, column in shifts]
        columns = jnp.concatenate(patches, -1).reshape(height * width, -1)
        rows = slope.reshape(height * width, channels_out).T
        return total + jnp.matmul(rows, columns, preferred_element_type=total.dtype), None

    # Sums over a feature map are too long for bfloat16.
    dtype = jnp.promote_types(jnp.float32, x.dtype)
    total = jnp.zeros((channels_out, len(shifts) * x.shape[-1]), dtype)
    total, _ = lax.scan(add, total, (x, gradient))
    return total.T.reshape(*window, x.shape[-1], channels_out).astype(x.dtype)
