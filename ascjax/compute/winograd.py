"""Convolutions of stride 1 with fewer products, for the CPU: Winograd's minimal filtering.

Lavin & Gray 2016 (arXiv:1509.09308, section 4): an output tile is Aᵀ [(G k Gᵀ) ⊙ (Bᵀ x B)] A.

An example in one dimension: two outputs of a kernel (k0, k1, k2) on inputs (x0, x1, x2, x3) are
x0·k0 + x1·k1 + x2·k2 and x1·k0 + x2·k1 + x3·k2, six products. With

    m0 = (x0 − x2) · k0                  m1 = (x1 + x2) · (k0 + k1 + k2) / 2
    m3 = (x1 − x3) · k2                  m2 = (x2 − x1) · (k0 − k1 + k2) / 2

they are m0 + m1 + m2 and m1 − m2 − m3, four products: the sums of inputs are Bᵀ x, those of the
kernel G k, and the last ones Aᵀ m. For x = (1, 2, 3, 4), k = (1, 0, 2): m = (−2, 7.5, 1.5, −4),
the outputs are 7 = 1 + 2·3 and 10 = 2 + 2·4.

In two dimensions both axes save: kernels of 3 × 3 take 2.25 times fewer products than the sum over
taps for tiles of 2 × 2 (36 → 16) and 4 times fewer for 4 × 4 (144 → 36); kernels of 5 × 5 take 2.8
times fewer for tiles of 2 × 2. The transforms are shared by all channels, and over channels and
tiles the products are one product of matrices for each point of a transformed tile. In float32 four
points a side round as finely as the sum does; six round 4 to 50 times as coarsely, to 3e-5 of the
largest value.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# Toom–Cook interpolation points, besides infinity.
_POINTS = ((0, 1, -1), (0, 1, -1, 2, -2))
# With fewer channels the transforms take longer than the products that they save.
_MIN_CHANNELS = 64
# Cost of transforming one value, in products (measured on two cores of an Intel Xeon, AVX-512).
_PRODUCTS_PER_VALUE = 140
# Cost of transforming a kernel, in products of tiles.
_TILES_PER_KERNEL = 100
# Most intermediate float32 values at a time, 16 MB, so that they stay in the caches.
_MAX_VALUES = 4e6


def best_side(
    shape: Sequence[int], window: int, channels_out: int, *, transforms: bool
) -> int | None:
    """Returns the side of output tiles that takes the least time; None if the plain sum does.

    An example: 12 maps of 32 × 17 with 256 channels in and out. The plain sum has 9 products for
    each of 6,528 positions, 58,752. Tiles of 4 × 4 are 12 · 8 · 5 = 480 with 36 points each; with
    the kernel (100) and the transforms (140 · 480 · 2 / 256 = 525) these cost 36 · 1,105 = 39,780
    products, less. All for each pair of channels.

    Args:
      shape: of the map, [batch, height, width, channel].
      window: height and width of the kernel, which reads ``window // 2`` zeros around the map.
      channels_out: of the kernel.
      transforms: whether they count beside the products. For gradients they don't: there the
        plain sum, over all positions of a batch, takes longer than its products alone.
    """
    batch, height, width, channels = shape
    if window not in (3, 5) or min(channels, channels_out) < _MIN_CHANNELS:
        return None
    products: dict[int | None, float] = {None: window**2 * batch * height * width}
    for points in _POINTS:
        side = len(points) + 2 - window
        if side > 0:
            tiles = batch * -(-height // side) * -(-width // side)
            values = tiles * (1 / channels + 1 / channels_out) if transforms else 0
            products[side] = (len(points) + 1) ** 2 * (
                tiles + _TILES_PER_KERNEL + _PRODUCTS_PER_VALUE * values
            )
    return min(products, key=lambda side: products[side])


def convolve(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "window window channel channel_out"],
    side: int,
) -> Float[Array, "batch height width channel_out"]:
    """Returns the convolution, with zeros around x, by output tiles of ``side × side``."""
    kernel_points = _of_kernel(kernel, side)

    def of_chunk(x: Array) -> Array:
        points = _product("tpc,tco->tpo", _of_data(x, side, len(kernel)), kernel_points)
        return _from_points(points, side)[:, : x.shape[1], : x.shape[2]]

    chunks = chunked(x, _num_chunks(x.shape, kernel.shape, side))
    return lax.map(of_chunk, chunks).reshape(*x.shape[:3], -1)


def gradients(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "window window channel channel_out"],
    cotangent: Float[Array, "batch height width channel_out"],
    side: int,
) -> tuple[
    Float[Array, "batch height width channel"],
    Float[Array, "window window channel channel_out"],
]:
    """Returns the gradients of x and of the kernel, given that of the output."""
    kernel_points, to_kernel = jax.vjp(lambda kernel: _of_kernel(kernel, side), kernel)

    def of_chunk(total: Array, chunk: tuple[Array, Array]) -> tuple[Array, Array]:
        points, to_x = jax.vjp(lambda x: _of_data(x, side, len(kernel)), chunk[0])
        cotangents = _of_cotangent(chunk[1], side, len(kernel))
        total += jnp.einsum("tpc,tpo->tco", _flat(points), _flat(cotangents))
        return total, to_x(_product("tpo,tco->tpc", cotangents, kernel_points))[0]

    count = _num_chunks(x.shape, kernel.shape, side)
    chunks = chunked(x, count), chunked(cotangent, count)
    total, of_x = lax.scan(of_chunk, jnp.zeros_like(kernel_points), chunks)
    return of_x.reshape(x.shape), to_kernel(total)[0]


def num_chunks(batch: int, values: int) -> int:
    """Returns the number of equal chunks of a batch, the fewest that each stay in the CPU's caches.

    A batch of 12 with 1,000,000 values each goes in 3 chunks of 4; if one example alone has too
    many, each is a chunk.

    Args:
      batch: examples.
      values: intermediate values of each example.
    """
    counts = (count for count in range(1, batch) if batch % count == 0)
    return next(
        (count for count in counts if batch // count * values <= _MAX_VALUES), max(batch, 1)
    )


def chunked(x: Float[Array, "batch ..."], count: int) -> Float[Array, "chunk example ..."]:
    """Returns a batch in ``count`` equal chunks."""
    return x.reshape(count, len(x) // count, *x.shape[1:])


def _num_chunks(shape: Sequence[int], kernel: Sequence[int], side: int) -> int:
    batch, height, width, channels = shape
    tiles = -(-height // side) * -(-width // side)
    return num_chunks(batch, (side + kernel[0] - 1) ** 2 * tiles * (channels + kernel[3]))


@functools.cache
def matrices(side: int, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns Bᵀ [point, side + window − 1], G [point, window] and Aᵀ [side, point].

    By Toom and Cook's construction: A and G evaluate polynomials whose coefficients are the
    output's and the kernel's values, and B interpolates by Lagrange's polynomials, whose
    denominators G takes. For side 2 and window 3 the points are 0, 1, −1 and infinity: the rows of
    G are k0 / −1, (k0 + k1 + k2) / 2, (k0 − k1 + k2) / 2 and k2, the module's example but
    for signs that B has too.
    """
    points = next(points for points in _POINTS if len(points) + 2 - window == side)
    others = [[other for other in points if other != point] for point in points]
    data = np.zeros((len(points) + 1, len(points) + 1))
    data[-1] = np.poly(points)[::-1]
    for row, rest in enumerate(others):
        data[row, :-1] = np.poly(rest)[::-1]
    denominators = [np.prod(np.subtract(p, rest)) for p, rest in zip(points, others, strict=True)]

    def powers(count: int) -> np.ndarray:
        at_infinity = np.arange(count) == count - 1
        return np.vstack([np.vander(points, count, increasing=True), at_infinity])

    return data, powers(window) / np.array([*denominators, 1])[:, None], powers(side).T


def _of_data(
    x: Float[Array, "batch height width channel"], side: int, window: int
) -> Float[Array, "points points batch rows columns channel"]:
    """Returns Bᵀ x B of every tile with the border that its outputs read, which tiles share."""
    border = window // 2
    edges = [(0, 0), *((border, -size % side + border) for size in x.shape[1:3]), (0, 0)]
    return _transform(jnp.pad(x, edges), matrices(side, window)[0], side)


def _of_cotangent(
    cotangent: Float[Array, "batch height width channel"], side: int, window: int
) -> Float[Array, "points points batch rows columns channel"]:
    """Returns A cotangent Aᵀ of every tile: the transpose of ``_from_points``."""
    edges = [(0, 0), *((0, -size % side) for size in cotangent.shape[1:3]), (0, 0)]
    return _transform(jnp.pad(cotangent, edges), matrices(side, window)[2].T, side)


def _of_kernel(
    kernel: Float[Array, "window window channel channel_out"], side: int
) -> Float[Array, "points channel channel_out"]:
    """Returns G k Gᵀ."""
    matrix = matrices(side, len(kernel))[1]
    both = jnp.asarray(np.kron(matrix, matrix), kernel.dtype)
    return (both @ kernel.reshape(len(kernel) ** 2, -1)).reshape(-1, *kernel.shape[2:])


def _transform(x: Array, matrix: np.ndarray, side: int) -> Array:
    """Returns matrix · tile · matrixᵀ of the tiles that begin at every ``side``-th position."""
    for _ in range(2):  # columns, then rows: stacking moves the rows to axis 2
        count = (x.shape[2] - matrix.shape[1]) // side + 1
        slices = [
            lax.slice_in_dim(x, start, start + side * (count - 1) + 1, side, axis=2)
            for start in range(matrix.shape[1])
        ]
        x = jnp.stack(_combine(matrix, slices))
    return x


def _from_points(
    points: Float[Array, "points points batch rows columns channel"], side: int
) -> Float[Array, "batch height width channel"]:
    """Returns Aᵀ points A of every tile, the tiles put together to a map."""
    output = matrices(side, len(points) + 1 - side)[2]
    for axis in (3, 4):
        points = jnp.stack(_combine(output, list(points)), axis)
    batch, rows, _, columns, _, channels = points.shape
    return points.reshape(batch, rows * side, columns * side, channels)


def _combine(matrix: np.ndarray, arrays: Sequence[Array]) -> list[Array]:
    """Returns matrix · arrays as sums that leave out products with zero."""
    rows = ([float(f) * x for f, x in zip(row, arrays, strict=True) if f] for row in matrix)
    return [functools.reduce(jnp.add, row) for row in rows]


def _flat(points: Array) -> Float[Array, "points tile channel"]:
    return points.reshape(points.shape[0] ** 2, -1, points.shape[-1])


def _product(spec: str, points: Array, kernel_points: Array) -> Array:
    product = jnp.einsum(spec, _flat(points), kernel_points)
    return product.reshape(*points.shape[:-1], -1)
