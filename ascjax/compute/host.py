"""The host's processor as a JAX device, and how XLA compiles for it.

For work that shouldn't depend on the accelerator, and for training without one.
"""

import functools
from collections.abc import Mapping

import jax


def cpu() -> jax.Device | None:
    """Returns the processor, for ``jax.default_device``.

    Or None, which leaves the default device, if the environment's JAX_PLATFORMS leaves it out.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def compiler_options(wanted: Mapping[str, bool | str]) -> dict[str, bool | str]:
    """Returns those options for ``jax.jit`` on the processor that this version of XLA takes.

    Experimental ones may be gone in another; without them a program is slower, and not wrong.
    """
    return {name: value for name, value in wanted.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: bool | str) -> bool:
    with jax.default_device(cpu()):
        try:
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
        except jax.errors.JaxRuntimeError:
            return False
    return True
