"""The gradients of VGG-16's convolutions, layer by layer: ours beside XLA's plain ones.

Run: python -m benchmarks.train_step --gradients
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ascjax.models.convolution import convolve
from benchmarks import measure, ours

AXES = ("NHWC", "HWIO", "NHWC")
PADDING = ((1, 1), (1, 1))


def compare(batch: int, frames: int, repeats: int) -> list[measure.Row]:
    """Times every shape once, from the first layer on."""
    shapes = []
    height, width, planes = ours.NUM_MELS, frames, 1
    for channels in (64, 128, 256, 512, 512):
        shapes += [(height, width, planes, channels), (height, width, channels, channels)]
        height, width, planes = height // 2, width // 2, channels
    return [
        _of_layer(batch, *shape, of, repeats)
        for shape in dict.fromkeys(shapes)
        for of in ("kernel", "input")
    ]


def _of_layer(
    batch: int, height: int, width: int, planes: int, channels: int, of: str, repeats: int
) -> measure.Row:
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, height, width, planes))
    kernel = jax.random.normal(keys[1], (3, 3, planes, channels))
    slope = jax.random.normal(keys[2], (batch, height, width, channels))

    def gradient(conv: Callable[..., Array]) -> Callable[[], Array]:
        def pull_back(x: Array, kernel: Array, slope: Array) -> Array:
            def convolved(x: Array, kernel: Array) -> Array:
                return conv(x, kernel, (1, 1), PADDING, dimension_numbers=AXES)

            return jax.vjp(convolved, x, kernel)[1](slope)[("input", "kernel").index(of)]

        compiled = jax.jit(pull_back)
        return lambda: compiled(x, kernel, slope).block_until_ready()

    sides = {"ours": gradient(convolve), "plain": gradient(jax.lax.conv_general_dilated)}
    ours_, plain = (make() for make in sides.values())
    seconds = measure.interleaved(sides, repeats)
    return {
        "map": f"{height} × {width}",
        "planes": f"{planes} → {channels}",
        "gradient of": of,
        "ours ms": measure.spread(1e3 * seconds["ours"]),
        "plain ms": measure.spread(1e3 * seconds["plain"]),
        "ours is faster by": measure.spread(seconds["plain"] / seconds["ours"]),
        "relative difference": float(jnp.abs(ours_ - plain).max() / jnp.abs(plain).max()),
    }
