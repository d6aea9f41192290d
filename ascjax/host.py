"""The host's processor as a JAX device: for work that shouldn't depend on the accelerator."""

import jax


def cpu() -> jax.Device | None:
    """Returns the processor, for ``jax.default_device``.

    Or None, which leaves the default device, if the environment's JAX_PLATFORMS leaves it out.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None
