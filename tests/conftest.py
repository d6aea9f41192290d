"""Settings for every test: shapes checked, no silent rank promotion, real data by name."""

import errno
import gc
import os
import shutil
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

from jaxtyping import install_import_hook

# Eight host devices let every test of pmap-ed code run without an accelerator; set before JAX is.
# Most of the time goes into compiling programs that run once: LLVM needn't optimise them, and XLA's
# older emitter of fused loops takes a quarter of the time of the one by way of MLIR. XLA ends the
# process at a flag that it doesn't know, so the flag is for the versions that it was tried with.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        *(["--xla_cpu_use_fusion_emitters=false"] if version("jaxlib").startswith("0.10.") else []),
        os.environ.get("XLA_FLAGS", ""),  # last, so that it has the last word
    ]
)
_hook = install_import_hook("ascjax", "shape_checks.check")
_hook.__enter__()

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
import tiny_set  # noqa: E402
from filelock import FileLock  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# No test is timed: a busy machine is no fault.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# Tracing a network makes many small objects that stay: at Python's own thresholds, looking for
# cycles among all of JAX's takes a quarter of its time.
gc.set_threshold(20_000, 10, 10)


def pytest_collection_finish() -> None:
    """Takes what has been imported out of every later search for cycles."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory) -> Path:
    """A folder that all processes of this session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(session_folder) -> None:
    """Programs that several tests compile alike, in whichever process, are compiled once."""
    settings = {
        "compilation_cache_dir": str(session_folder / "xla"),
        "compilation_cache_max_size": 2**32,  # with a limit, files are locked while written
        "persistent_cache_min_compile_time_secs": 0.1,
    }
    for name, value in settings.items():
        os.environ[f"JAX_{name.upper()}"] = str(value)  # for commands that tests run
        jax.config.update(f"jax_{name}", value)


class InThisProcess:
    """Stands for a pool of one process that extracts features: does it here and now."""

    def __init__(self, job):
        self.job = job

    def submit(self, function, files) -> Future:
        from ascjax.data import extract

        extract._job = self.job
        future: Future = Future()
        try:
            future.set_result(function(files))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, *, cancel_futures):
        pass


@pytest.fixture(scope="module", autouse=True)
def one_worker_is_this_process():
    """Spares a process, which imports JAX, wherever features are extracted by one worker.

    Not by two, nor for ``finished_run``, nor by commands that tests run apart.
    """
    from ascjax.data import store

    def pool(workers, context, initializer, arguments):
        if workers > 1:
            return ProcessPoolExecutor(workers, context, initializer, arguments)
        return InThisProcess(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "ProcessPoolExecutor", pool)
        yield


@pytest.fixture(scope="session")
def finished_run(session_folder, compilation_cache) -> tuple[Path, Path]:
    """The folders of a run of two epochs, each with its checkpoint, and of its data set.

    Its trunk is one that ascjax has, so that commands in processes of their own know it.
    """
    from ascjax.runs import experiment

    folder = session_folder / "finished"
    with FileLock(session_folder / "finished.lock"):
        if not (folder / "run" / "results.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            root = tiny_set.write_set(folder / "set")
            config = tiny_set.config(
                folder, root, channels=("left", "average"), num_devices=1,
                **{"checkpoint.keep": 2, "model.trunk": "vgg_tiny"},
            )  # fmt: skip
            experiment.train(config, folder / "run")
    return folder / "run", folder / "set"


@pytest.fixture
def close(monkeypatch):
    """Returns a function that closes a folder as a mode of 0 does, which root may enter still."""
    stat, access = os.stat, os.access

    def close_folder(folder: Path) -> None:
        def refuse(path, *args, **more):
            if folder in Path(os.fsdecode(path) if not isinstance(path, int) else "/").parents:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return stat(path, *args, **more)

        monkeypatch.setattr(os, "stat", refuse)
        monkeypatch.setattr(os, "access", lambda path, mode: path != folder and access(path, mode))

    return close_folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings, metadata and weights; without it a test is skipped."""
    root = Path(os.environ.get("ASCJAX_SHARED", Path(__file__).parents[1] / ".." / "shared"))
    if not root.is_dir():
        pytest.skip(f"needs the shared real data (looked in {root}; set ASCJAX_SHARED)")
    return root.resolve()
