"""A convolution whose gradients are fast on the CPU too.

XLA computes the gradient of a kernel as a convolution with a window as large as the feature map,
and that of an input with the kernel transposed. On the CPU products of matrices are faster: up to
4.5 times for the kernels of large maps, and up to twice for both gradients of maps of few positions
and many channels, where transposing the kernel takes as long as using it (benchmarks/train_step.py
--gradients). On other platforms XLA's own are used.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# A kernel's gradient takes products, an example at a time, from so many positions in the output and
# two examples on ...
MIN_POSITIONS = 400
# ... and both gradients take them, all examples at once, up to so many positions of all together
# for each output channel.
MAX_POSITIONS_A_CHANNEL = 2


def convolve(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "rows columns channel channel_out"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **kwargs: Any,
) -> Float[Array, "batch height_out width_out channel_out"]:
    """Returns what ``lax.conv_general_dilated`` does; made for ``flax.linen.Conv``.

    Reverse-mode gradients of it are the same up to rounding. Forward-mode ones exist only where
    both of XLA's own gradients serve.
    """

    def plain(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(x, kernel, strides, padding, **kwargs)

    batch, height, width, channels = jax.eval_shape(plain, x, kernel).shape
    large = height * width >= MIN_POSITIONS and batch > 1
    small = batch * height * width <= MAX_POSITIONS_A_CHANNEL * channels
    if not (large or small):
        return plain(x, kernel)

    @jax.custom_vjp
    def with_fast_gradients(x: Array, kernel: Array) -> Array:
        return plain(x, kernel)

    def forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
        return plain(x, kernel), (x, kernel)

    def backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
        x, kernel = kept

        def of_input(kernel: Array, gradient: Array) -> Array:
            return jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)[0]

        def of_input_by_products(kernel: Array, gradient: Array) -> Array:
            return _input_gradient(kernel, gradient, x.shape, strides, padding)

        def of_kernel(x: Array, gradient: Array) -> Array:
            return jax.vjp(lambda kernel: plain(x, kernel), kernel)[1](gradient)[0]

        def of_kernel_by_products(x: Array, gradient: Array) -> Array:
            window = kernel.shape[:2]
            return _kernel_gradient(x, gradient, window, strides, padding, at_once=small)

        return (
            lax.platform_dependent(
                kernel, gradient, cpu=of_input_by_products if small else of_input, default=of_input
            ),
            lax.platform_dependent(x, gradient, cpu=of_kernel_by_products, default=of_kernel),
        )

    with_fast_gradients.defvjp(forward, backward)
    return with_fast_gradients(x, kernel)


def _input_gradient(
    kernel: Float[Array, "rows columns channel channel_out"],
    gradient: Float[Array, "batch height_out width_out channel_out"],
    shape: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "batch height width channel"]:
    """Returns the sum over the kernel's taps of gradient · tapᵀ, each laid where the tap read."""
    total = jnp.zeros(shape, jnp.promote_types(jnp.float32, kernel.dtype))
    for tap in np.ndindex(kernel.shape[:2]):
        part = jnp.einsum(
            "bhwo,co->bhwc", gradient, kernel[tap], preferred_element_type=total.dtype
        )
        edges = [(0, 0, 0)] * 4
        for axis, (stride, offset, (before, _)) in enumerate(
            zip(strides, tap, padding, strict=True), start=1
        ):
            low = offset - before
            high = shape[axis] - low - stride * (part.shape[axis] - 1) - 1
            edges[axis] = (low, high, stride - 1)
        total += lax.pad(part, jnp.zeros((), total.dtype), edges)
    return total.astype(kernel.dtype)


def _kernel_gradient(
    x: Float[Array, "batch height width channel"],
    gradient: Float[Array, "batch height_out width_out channel_out"],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    *,
    at_once: bool,
) -> Float[Array, "rows columns channel channel_out"]:
    """Returns the sum over examples of im2col(x)ᵀ · gradient, in one product or one for each.

    A product is fastest with the wider matrix last: that is im2col(x), unless x has few channels.
    """
    height, width, channels_out = gradient.shape[1:]
    down, right = strides
    shifts = [(row, column) for row in range(window[0]) for column in range(window[1])]
    wider = channels_out > len(shifts) * x.shape[-1]
    # Sums over a feature map are too long for bfloat16.
    dtype = jnp.promote_types(jnp.float32, x.dtype)

    def product(planes: Array, slopes: Array) -> Array:
        planes = jnp.pad(planes, ((0, 0), *padding, (0, 0)))
        patches = [
            planes[:, row::down, column::right][:, :height, :width] for row, column in shifts
        ]
        columns = jnp.concatenate(patches, -1).reshape(-1, len(shifts) * x.shape[-1])
        slopes = slopes.reshape(-1, channels_out)
        first, last = (columns, slopes) if wider else (slopes, columns)
        return jnp.matmul(first.T, last, preferred_element_type=dtype)

    def add(total: Array, example: tuple[Array, Array]) -> tuple[Array, None]:
        return total + product(*(part[None] for part in example)), None

    if at_once:
        total = product(x, gradient)
    else:
        shape = (channels_out, len(shifts) * x.shape[-1])
        total = jnp.zeros(shape[::-1] if wider else shape, dtype)
        total, _ = lax.scan(add, total, (x, gradient))
    total = total if wider else total.T
    return total.reshape(*window, x.shape[-1], channels_out).astype(x.dtype)
