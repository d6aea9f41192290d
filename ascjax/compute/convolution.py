"""Convolution that is fast on the CPU too, forward and backward.

XLA computes the gradient of a kernel as a convolution with a window as large as the feature map,
and that of an input with the kernel transposed; on the CPU products of matrices are several times
faster. Kernels of 1 × 1 are such products themselves, and in float32 those of 3 × 3 and 5 × 5
without strides need fewer of them where there are many channels (``compute.winograd``). On other
platforms, and within ``use("xla")``, XLA's own convolution and gradients are used.
benchmarks/train_step.py --convolutions compares the two.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ascjax.compute import winograd
from ascjax.errors import choose

IMPLEMENTATIONS = ("auto", "xla")

# The input's gradient is a sum over taps while the output has at most this many positions, over all
# examples, for each output channel. In such small maps the transposed kernel of the other way takes
# as long to lay out as to use: 12 maps of 4 × 3 are 144 positions, fewer than 2 × 512 channels.
MAX_POSITIONS_PER_CHANNEL = 2

_implementation: ContextVar[str] = ContextVar("implementation", default="auto")


@contextlib.contextmanager
def use(implementation: str) -> Iterator[None]:
    """Chooses the implementation of convolutions that are traced within the ``with`` block.

    A program that was compiled outside keeps what it was traced with.

    Args:
      implementation: ``"auto"``, the faster one for the platform, or ``"xla"``, XLA's own.

    Raises:
      UserError: another name.
    """
    token = _implementation.set(
        choose("convolutions", implementation, {name: name for name in IMPLEMENTATIONS})
    )
    try:
        yield
    finally:
        _implementation.reset(token)


def implementation() -> str:
    """Returns the implementation in use, one of ``IMPLEMENTATIONS``."""
    return _implementation.get()


def convolve(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "rows columns channel_in channel_out"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **kwargs: Any,
) -> Float[Array, "batch height_out width_out channel_out"]:
    """Returns the same as ``lax.conv_general_dilated``; made for ``flax.linen.Conv``.

    Output and reverse-mode gradients are equal up to rounding, on the CPU up to 3e-5 of the largest
    value unless ``precision`` or ``jax.default_matmul_precision`` is ``highest``. There are no
    forward-mode gradients, except within ``use("xla")``.
    """

    def plain(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(x, kernel, strides, padding, **kwargs)

    groups = [kwargs.get(f"{what}_group_count", 1) for what in ("feature", "batch")]
    dilations = [kwargs.get(f"{what}_dilation") or (1, 1) for what in ("lhs", "rhs")]
    if implementation() == "xla" or groups != [1, 1] or np.any(np.not_equal(dilations, 1)):
        return plain(x, kernel)
    sides = _tile_sides(x, kernel, strides, padding, kwargs.get("precision"))
    forward: Callable = plain
    if sides[0]:
        forward = partial(winograd.convolve, side=sides[0])
    elif kernel.shape[:2] == (1, 1) and not np.any(padding):
        forward = partial(_pointwise, strides=strides)
    gradients: Callable = partial(_gradients, strides=strides, padding=padding)
    if sides[1]:
        gradients = partial(winograd.gradients, side=sides[1])

    @jax.custom_vjp
    def convolved(x: Array, kernel: Array) -> Array:
        return lax.platform_dependent(x, kernel, cpu=forward, default=plain)

    def plain_gradients(x: Array, kernel: Array, cotangent: Array) -> tuple[Array, Array]:
        return jax.vjp(plain, x, kernel)[1](cotangent)

    convolved.defvjp(
        lambda x, kernel: (convolved(x, kernel), (x, kernel)),
        lambda kept, cotangent: lax.platform_dependent(
            *kept, cotangent, cpu=gradients, default=plain_gradients
        ),
    )
    return convolved(x, kernel)


def _tile_sides(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    precision: Any,
) -> tuple[int | None, int | None]:
    """Returns the sides of Winograd's tiles for output and gradients; None for the plain sum."""
    rows, columns, _, channels_out = kernel.shape
    default = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    fits = (
        rows == columns
        and tuple(strides) == (1, 1)
        and np.all(np.equal(padding, rows // 2))
        and x.dtype in (jnp.float32, jnp.float64)
        and (precision or default) not in ("highest", "float32", lax.Precision.HIGHEST)
    )
    if not fits:
        return None, None
    best = partial(winograd.best_side, x.shape, rows, channels_out)
    return best(transforms=True), best(transforms=False)


def _pointwise(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "1 1 channel channel_out"],
    strides: Sequence[int],
) -> Float[Array, "batch height_out width_out channel_out"]:
    """Returns the convolution with a kernel of 1 × 1 as one product of matrices."""
    down, right = strides
    return jnp.einsum("bhwc,co->bhwo", x[:, ::down, ::right], kernel[0, 0])


def _gradients(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "rows columns channel channel_out"],
    cotangent: Float[Array, "batch height_out width_out channel_out"],
    *,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> tuple[
    Float[Array, "batch height width channel"],
    Float[Array, "rows columns channel channel_out"],
]:
    """Returns the gradients of x and of the kernel, given that of the output."""
    # Without the barrier XLA computes both again in the layout that a product asks for.
    x, cotangent = lax.optimization_barrier((x, cotangent))
    window, channels_out = kernel.shape[:2], kernel.shape[3]
    if window == (1, 1) or cotangent.size <= MAX_POSITIONS_PER_CHANNEL * channels_out**2:
        of_x = _input_gradient_by_taps(kernel, cotangent, x.shape, strides, padding)
    else:
        of_x = _input_gradient_by_phases(kernel, cotangent, x.shape, strides, padding)
    return of_x, _kernel_gradient(x, cotangent, window, strides, padding)


def _input_gradient_by_taps(
    kernel: Float[Array, "rows columns channel channel_out"],
    cotangent: Float[Array, "batch height_out width_out channel_out"],
    shape: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "batch height width channel"]:
    """Returns the sum over the kernel's taps of cotangent · tapᵀ, each placed where the tap read.

    In one dimension, with a kernel of 3, stride 2 and 1 zero before: output o read inputs 2·o − 1,
    2·o and 2·o + 1. Tap 0 therefore adds to inputs −1, 1, 3, ...: ``low`` is −1, which ``lax.pad``
    crops, and one zero lies between each two values.
    """
    total = jnp.zeros(shape, jnp.promote_types(jnp.float32, kernel.dtype))
    for tap in np.ndindex(kernel.shape[:2]):
        part = jnp.einsum(
            "bhwo,co->bhwc", cotangent, kernel[tap], preferred_element_type=total.dtype
        )
        edges = [(0, 0, 0)] * 4
        for axis, (stride, offset, (before, _)) in enumerate(
            zip(strides, tap, padding, strict=True), start=1
        ):
            low = offset - before  # the input that the first output read by this tap
            high = shape[axis] - low - stride * (part.shape[axis] - 1) - 1
            edges[axis] = (low, high, stride - 1)
        total += lax.pad(part, jnp.zeros((), total.dtype), edges)
    return total.astype(kernel.dtype)


def _input_gradient_by_phases(
    kernel: Float[Array, "rows columns channel channel_out"],
    cotangent: Float[Array, "batch height_out width_out channel_out"],
    shape: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "batch height width channel"]:
    """Returns stride-1 convolutions of the cotangent, one for each place between two strides.

    Input stride · i + phase was read by tap (phase + padding − stride · (o − i)) of output o: at
    each phase only every stride-th tap of the kernel reads. With a kernel of 3, stride 2 and 1 zero
    before, even inputs 2·i were read by tap 1 of output i alone, odd inputs 2·i + 1 by tap 2 of
    output i and tap 0 of output i + 1. So the even half of the gradient is the cotangent times tap
    1, the odd half a convolution of it with (tap 2, tap 0), and the two are interleaved.
    """
    counts = [-(-shape[axis] // strides[axis - 1]) for axis in (1, 2)]

    def of_phase(*phases: int) -> Array:
        taps, edges = [], []
        for axis, (phase, stride, (before, _)) in enumerate(
            zip(phases, strides, padding, strict=True)
        ):
            tap = slice((phase + before) % stride, None, stride)
            number = len(range(kernel.shape[axis])[tap])
            # Zeros before the cotangent, so that the flipped taps end at output i + (phase +
            # before) // stride, the last that read this input.
            low = number - 1 - (phase + before) // stride
            taps.append(tap)
            edges.append((low, counts[axis] - cotangent.shape[1 + axis] - low + number - 1))
        read = jnp.flip(kernel[tuple(taps)], (0, 1)).swapaxes(2, 3)
        if not read.size:  # the stride jumps over these positions
            return jnp.zeros((len(cotangent), *counts, shape[3]), kernel.dtype)
        # XLA's CPU backend errs with edges below zero, as with more padding than the kernel reads.
        cropped = [(0, 0, 0), *((min(a, 0), min(b, 0), 0) for a, b in edges), (0, 0, 0)]
        return lax.conv_general_dilated(
            lax.pad(cotangent, jnp.zeros((), cotangent.dtype), cropped),
            read,
            (1, 1),
            np.maximum(edges, 0).tolist(),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    down, right = strides
    rows = [jnp.stack([of_phase(row, column) for column in range(right)], 3) for row in range(down)]
    whole = jnp.stack(rows, 2).reshape(shape[0], counts[0] * down, counts[1] * right, shape[3])
    return whole[:, : shape[1], : shape[2]]


def _kernel_gradient(
    x: Float[Array, "batch height width channel"],
    cotangent: Float[Array, "batch height_out width_out channel_out"],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "rows columns channel channel_out"]:
    """Returns the sum over examples of im2col(x)ᵀ · cotangent, a few of them at a time.

    im2col(x) has a row for each output position with the inputs that it read: a 3 × 3 kernel over
    64 channels and a map of 32 × 18 make 576 rows of 576 values, nine copies of the map. A few
    examples at a time, these stay in the caches. A product is fastest with the wider matrix last:
    that is im2col(x), unless x has few channels.
    """
    height, width, channels_out = cotangent.shape[1:]
    down, right = strides
    shifts = list(np.ndindex(*window))
    num_columns = len(shifts) * x.shape[-1]
    wider = channels_out > num_columns
    # Sums over a feature map are too long for bfloat16.
    dtype = jnp.promote_types(jnp.float32, x.dtype)

    def add(total: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
        planes = jnp.pad(chunk[0], ((0, 0), *padding, (0, 0)))
        patches = [
            planes[:, row::down, column::right][:, :height, :width] for row, column in shifts
        ]
        columns = jnp.concatenate(patches, -1).reshape(-1, num_columns)
        cotangents = chunk[1].reshape(-1, channels_out)
        first, last = (columns, cotangents) if wider else (cotangents, columns)
        return total + jnp.matmul(first.T, last, preferred_element_type=dtype), None

    shape = (channels_out, num_columns)
    total = jnp.zeros(shape[::-1] if wider else shape, dtype)
    count = winograd.num_chunks(len(x), height * width * num_columns)
    total, _ = lax.scan(
        add, total, (winograd.chunked(x, count), winograd.chunked(cotangent, count))
    )
    total = total if wider else total.T
    return total.reshape(*window, x.shape[-1], channels_out).astype(x.dtype)
