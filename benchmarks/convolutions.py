"""VGG-16's convolutions and their gradients, layer by layer: ours beside XLA's plain ones.

Both with the options of our steps (``pmap``).

Run: python -m benchmarks.train_step --convolutions
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ascjax.compute.convolution import convolve
from ascjax.compute.devices import local_devices, pmap
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
        of_layer(batch, *shape, what, repeats)
        for shape in dict.fromkeys(shapes)
        for what in ("output", "gradient of kernel", "gradient of input")
    ]


def of_layer(
    batch: int, height: int, width: int, planes: int, channels: int, what: str, repeats: int
) -> measure.Row:
    """Times one of a layer's three results on both sides."""
    devices = local_devices(1)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (1, batch, height, width, planes))
    kernel = jax.random.normal(keys[1], (1, 3, 3, planes, channels))
    cotangent = jax.random.normal(keys[2], (1, batch, height, width, channels))

    def side(conv: Callable[..., Array]) -> Callable[[], Array]:
        def convolved(x: Array, kernel: Array) -> Array:
            return conv(x, kernel, (1, 1), PADDING, dimension_numbers=AXES)

        def step(kernel: Array, others: tuple[Array, Array]) -> Array:
            x, cotangent = others
            if what == "output":
                return convolved(x, kernel)
            of_input, of_kernel = jax.vjp(convolved, x, kernel)[1](cotangent)
            return of_kernel if what == "gradient of kernel" else of_input

        compiled = pmap(step, devices)
        return lambda: compiled(kernel, (x, cotangent)).block_until_ready()

    sides = {"ours": side(convolve), "plain": side(jax.lax.conv_general_dilated)}
    ours_, plain = (make() for make in sides.values())
    seconds = measure.interleaved(sides, repeats)
    return {
        "map": f"{height} × {width}",
        "planes": f"{planes} → {channels}",
        "what": what,
        "ours ms": measure.spread(1e3 * seconds["ours"]),
        "plain ms": measure.spread(1e3 * seconds["plain"]),
        "ours is faster by": measure.spread(seconds["plain"] / seconds["ours"]),
        "relative difference": float(jnp.abs(ours_ - plain).max() / jnp.abs(plain).max()),
    }
