"""Settings for every test: shapes checked at run time, no silent rank promotion, real data by name."""

import os
from pathlib import Path

from jaxtyping import install_import_hook

# Eight host devices let every test of pmap-ed code run without an accelerator. Set before JAX starts.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
_hook = install_import_hook("ascjax", "beartype.beartype")
_hook.__enter__()

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings, metadata and weights; tests that need it are skipped without it."""
    root = Path(os.environ.get("ASCJAX_SHARED", Path(__file__).parents[1] / ".." / "shared"))
    if not root.is_dir():
        pytest.skip(f"needs the shared real data (looked in {root}; set ASCJAX_SHARED)")
    return root.resolve()
