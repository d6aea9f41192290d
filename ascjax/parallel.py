"""The one place that knows how a step is spread over devices: jax.pmap, one axis, named here.

Since JAX 0.8 pmap is built on jit and shard_map; moving on to those is an edit of this file.
"""

import functools
import resource
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ascjax import host
from ascjax.errors import UserError

# Collectives inside a step (gradient and BatchNorm averages) name this axis.
AXIS = "device"

# XLA's CPU backend gives convolutions, products and sums to its YNN library. Only for sums is that
# the faster way: with all of it a training step takes up to 1.1 times as long, a forward pass 1.3
# to 1.4 times (benchmarks/RESULTS.md).
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def devices(count: int = 0) -> list[jax.Device]:
    """Returns this process's first ``count`` devices; 0 means all.

    Raises:
      UserError: there are fewer, or this is one of several processes.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"this is one of {jax.process_count()} processes; a run is trained by one, on all "
            "devices of its machine"
        )
    available = jax.local_devices()
    if count > len(available):
        raise UserError(
            f"config.num_devices is {count}, but this process has {len(available)} "
            f"({available[0].platform}); pass a smaller number, or 0 for all"
        )
    return available[: count or None]


def check_batch_size(batch_size: int, num_devices: int, key: str) -> None:
    """Raises UserError unless ``num_devices`` divides ``batch_size``, the value of ``key``."""
    if batch_size < 1 or batch_size % num_devices:
        raise UserError(
            f"{key} is {batch_size}, which {num_devices} device(s) can't share equally; pass a "
            f"positive multiple of {num_devices}"
        )


def free_memory(over: list[jax.Device]) -> float:
    """Returns the bytes free on the device with least of them; infinite where none says."""
    stats = [device.memory_stats() for device in over]
    return min((s["bytes_limit"] - s["bytes_in_use"] for s in stats if s), default=np.inf)


def peak_memory_gb() -> dict[str, float]:
    """Returns the most that this process has held so far, on the host and on one accelerator."""
    # In KiB; the kernel counts resident pages.
    peaks = {"host": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    stats = [device.memory_stats() for device in jax.local_devices()]
    held = [s["peak_bytes_in_use"] for s in stats if s]
    if held:
        peaks["device"] = max(held)
    return {where: round(value / 1e9, 3) for where, value in peaks.items()}


def spread(step: Callable, over: list[jax.Device], *, donate: bool = False) -> Callable:
    """Returns ``step(state, batch)``, or of a round of batches, on every device at once.

    ``donate`` lets an accelerator write the new state over the old one. On the CPU it is kept until
    the new one is there: XLA would copy most of it before writing over it, a sixth of a ResNet-18's
    step.
    """
    on_cpu = over[0].platform == "cpu"
    donated = (0,) if donate and not on_cpu else ()
    spread_step = jax.pmap(step, axis_name=AXIS, devices=over, donate_argnums=donated)
    options = host.compiler_options(_CPU_OPTIONS) if on_cpu else {}
    if not options:
        return spread_step
    # jit would take over pmap's own attributes, such as ``lower``, from the function itself.
    return jax.jit(lambda *args: spread_step(*args), compiler_options=options)


def replicate(tree: Any, over: list[jax.Device]) -> Any:
    """Returns ``tree`` with a leading device axis, one equal copy on each device."""
    return _copier(tuple(over))(np.arange(len(over)), tree)


@functools.cache
def _copier(over: tuple[jax.Device, ...]) -> Callable:
    # The same axis name as in ``spread``, or the first two steps would be compiled apart.
    return jax.pmap(lambda _, x: x, axis_name=AXIS, in_axes=(0, None), devices=over)


def first(tree: Any) -> Any:
    """Returns the first device's copy of a replicated tree, as NumPy arrays."""
    return jax.tree.map(lambda x: np.asarray(np.asarray(x.addressable_shards[0].data)[0]), tree)


def shard(batch: Any, num_devices: int) -> Any:
    """Returns arrays [batch, ...] as [device, batch / device, ...]."""
    return jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch)


def mean(tree: Any) -> Any:
    """Returns the average over devices; inside a spread step only."""
    if jax.lax.axis_size(AXIS) == 1:
        return tree  # On the CPU XLA would copy it.
    return jax.lax.pmean(tree, AXIS)


def device_key(key: jax.Array) -> jax.Array:
    """Returns a random key of this device's own; inside a spread step only."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS))


def total(tree: Any) -> Any:
    """Returns the sum over devices; inside a spread step only."""
    return jax.lax.psum(tree, AXIS)
