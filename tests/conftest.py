"""Settings for every test: shapes checked, no silent rank promotion, real data by name."""

import os
from pathlib import Path

from jaxtyping import install_import_hook

# Eight host devices let every test of pmap-ed code run without an accelerator; set before JAX is.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
_hook = install_import_hook("ascjax", "shape_checks.check")
_hook.__enter__()

import jax  # noqa: E402
import pytest  # noqa: E402
import tiny_set  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory) -> None:
    """Programs that several tests compile alike, in whichever process, are compiled once."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    settings = {
        "compilation_cache_dir": str(folder / "xla"),
        "compilation_cache_max_size": 2**32,  # with a limit, files are locked while written
        "persistent_cache_min_compile_time_secs": 0.3,
    }
    for name, value in settings.items():
        os.environ[f"JAX_{name.upper()}"] = str(value)  # for commands that tests run
        jax.config.update(f"jax_{name}", value)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, compilation_cache) -> tuple[Path, Path]:
    """The folders of a run of two epochs, each with its checkpoint, and of its data set."""
    from ascjax.runs import experiment

    folder = tmp_path_factory.mktemp("finished")
    root = tiny_set.write_set(folder / "set")
    config = tiny_set.config(
        folder, root, channels=("left", "average"), num_devices=1, **{"checkpoint.keep": 2}
    )
    experiment.train(config, folder / "run")
    return folder / "run", root


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings, metadata and weights; without it a test is skipped."""
    root = Path(os.environ.get("ASCJAX_SHARED", Path(__file__).parents[1] / ".." / "shared"))
    if not root.is_dir():
        pytest.skip(f"needs the shared real data (looked in {root}; set ASCJAX_SHARED)")
    return root.resolve()
