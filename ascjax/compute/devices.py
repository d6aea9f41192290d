"""jax.pmap in one place: a step on every device at once, one mapped axis, named here.

Since JAX 0.8 pmap is built on jit and shard_map; moving on to those is an edit of this file.
"""

import functools
import resource
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Key

from ascjax.compute import host, processes
from ascjax.errors import UserError

# Collectives inside a step (averages of gradients and BatchNorm statistics) name this axis.
AXIS = "device"

# XLA's CPU backend gives convolutions, products and sums to its YNN library. Only for sums is that
# faster: with all of it a training step takes up to 1.1 times as long, a forward pass 1.3 to 1.4
# times (benchmarks/DECISIONS.md).
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def local_devices(count: int = 0) -> list[jax.Device]:
    """Returns this process's first ``count`` devices; 0 means all.

    Raises:
      UserError: there are fewer.
    """
    available = jax.local_devices()
    if count > len(available):
        raise UserError(
            f"expected at most {len(available)} devices, as many as this process has "
            f"({available[0].platform}), got {count}; pass a smaller number, or 0 for all"
        )
    return available[: count or None]


def all_devices(count: int = 0) -> list[jax.Device]:
    """Returns ``count`` devices, as many of each process; 0 means all.

    Raises:
      UserError: a process has fewer, or another number of them than the others.
    """
    num_processes = processes.count()
    if count % num_processes:
        raise UserError(
            f"expected a multiple of {num_processes}, as {num_processes} processes share the "
            f"devices equally, got {count}; pass a multiple, or 0 for all"
        )
    counts = set(processes.gather(len(local_devices(count // num_processes))))
    if len(counts) > 1:
        raise UserError(
            f"expected as many devices in each process, got {min(counts)} to {max(counts)}; pass "
            f"{min(counts) * num_processes}, or start each process with as many"
        )
    by_process: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    return [d for number in sorted(by_process) for d in by_process[number][: min(counts)]]


def local(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Returns those of this process."""
    return [device for device in devices if device.process_index == jax.process_index()]


def share(batch_size: int, devices: Sequence[jax.Device]) -> slice:
    """Returns which examples of a batch that ``devices`` share are this process's."""
    per_device = batch_size // len(devices)
    mine = [n for n, device in enumerate(devices) if device.process_index == jax.process_index()]
    return slice(mine[0] * per_device, (mine[-1] + 1) * per_device)


def check_batch_size(batch_size: int, num_devices: int) -> None:
    """Raises UserError unless ``num_devices`` divides ``batch_size``."""
    if batch_size < 1 or batch_size % num_devices:
        raise UserError(
            f"expected a batch size that is a positive multiple of {num_devices}, as {num_devices} "
            f"devices share a batch equally, got {batch_size}"
        )


def free_memory(devices: Sequence[jax.Device]) -> float:
    """Returns the bytes free on the fullest device; infinite where the platform doesn't tell."""
    stats = [device.memory_stats() for device in local(devices)]
    free = min((s["bytes_limit"] - s["bytes_in_use"] for s in stats if s), default=np.inf)
    return min(processes.gather(float(free)))


def peak_memory_gb() -> dict[str, float]:
    """Returns this process's peak memory so far: ``host`` and, on accelerators, ``device``."""
    # In KiB; the kernel counts resident pages.
    peaks = {"host": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    stats = [device.memory_stats() for device in jax.local_devices()]
    held = [s["peak_bytes_in_use"] for s in stats if s]
    if held:
        peaks["device"] = max(held)
    return {where: round(value / 1e9, 3) for where, value in peaks.items()}


def pmap(step: Callable, devices: Sequence[jax.Device], *, donate: bool = False) -> Callable:
    """Returns ``step(state, inputs)`` mapped over devices along the axis ``AXIS``.

    Args:
      step: a function of a state and inputs without the device axis.
      devices: where it runs.
      donate: lets an accelerator write the new state over the old one. On the CPU both are kept:
        XLA would copy most of the state before writing over it, a sixth of a ResNet-18's step.
    """
    on_cpu = devices[0].platform == "cpu"
    donated = (0,) if donate and not on_cpu else ()
    mapped = jax.pmap(step, axis_name=AXIS, devices=devices, donate_argnums=donated)
    # Within a jit pmap knows the devices of this process alone.
    alone = processes.count() == 1
    options = host.compiler_options(_CPU_OPTIONS) if on_cpu and alone else {}
    if not options:
        return mapped
    # A lambda, as jit would take over pmap's own attributes, such as ``lower``.
    return jax.jit(lambda *args: mapped(*args), compiler_options=options)


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Returns ``tree`` with a leading device axis, one equal copy on each device."""
    return _copier(tuple(devices))(np.arange(len(local(devices))), tree)


@functools.cache
def _copier(devices: tuple[jax.Device, ...]) -> Callable:
    # The axis name of ``pmap``: under another one the first two steps are compiled apart.
    return jax.pmap(lambda _, x: x, axis_name=AXIS, in_axes=(0, None), devices=devices)


def unreplicate(tree: Any) -> Any:
    """Returns the first device's copy of a replicated tree, as NumPy arrays."""
    return jax.tree.map(lambda x: np.asarray(np.asarray(x.addressable_shards[0].data)[0]), tree)


def local_values(x: jax.Array) -> np.ndarray:
    """Returns the part [device, ...] of a mapped step's output that this process's devices hold."""
    if x.is_fully_addressable:
        return np.asarray(x)
    return np.concatenate([np.asarray(shard.data) for shard in x.addressable_shards])


def shard(batch: Any, num_devices: int) -> Any:
    """Returns arrays [batch, ...] as [device, batch / device, ...]."""
    return jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch)


def pmean(tree: Any) -> Any:
    """Returns the mean over devices; inside a mapped step only."""
    if jax.lax.axis_size(AXIS) == 1:
        return tree  # On the CPU XLA would copy it.
    return jax.lax.pmean(tree, AXIS)


def psum(tree: Any) -> Any:
    """Returns the sum over devices; inside a mapped step only."""
    return jax.lax.psum(tree, AXIS)


def all_gather(x: jax.Array, axis_name: str | None = AXIS) -> jax.Array:
    """Returns the shards [batch / device, ...] of all devices as one batch [batch, ...].

    Args:
      x: this device's shard.
      axis_name: the mapped axis, or None outside a mapped step, where the shard is the batch.
    """
    if axis_name is None or jax.lax.axis_size(axis_name) == 1:
        return x
    return jax.lax.all_gather(x, axis_name, tiled=True)


def batch_positions(local_batch: int, axis_name: str | None = AXIS) -> Int[jax.Array, " batch"]:
    """Returns the positions of this device's examples in the batch over all devices.

    The second of two devices that share a batch of 8 has positions 4, 5, 6, 7.

    Args:
      local_batch: examples on this device.
      axis_name: the mapped axis, or None outside a mapped step, where the shard is the batch.
    """
    positions = jnp.arange(local_batch)
    if axis_name is None:
        return positions
    return jax.lax.axis_index(axis_name) * local_batch + positions


def example_keys(
    key: Key[jax.Array, ""], local_batch: int, axis_name: str | None = AXIS
) -> Key[jax.Array, " batch"]:
    """Returns a key for each of this device's examples, by its position in the whole batch.

    Random draws from these are the same on any number of devices.

    Args:
      key: the step's, equal on every device.
      local_batch: examples on this device.
      axis_name: as in ``batch_positions``.
    """
    positions = batch_positions(local_batch, axis_name)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, positions)
