"""Ray clusters of this machine, and commands in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
_STORE_BYTES = 10**8
# Nothing of these tests is kept in the user's folders, and no cluster asks for a token there.
_ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}


def pytest_collection_modifyitems(items):
    for item in items:
        if FOLDER in Path(item.path).parents:
            item.add_marker(pytest.mark.cluster)
            # Ray's own, of its imports and of processes that it leaves to themselves.
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def environment(session_folder, compilation_cache):
    """Of commands: they import this checkout, on one device, and keep caches here."""
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    cache = session_folder / "cache"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {
        **os.environ, **_ENVIRONMENT, "PYTHONPATH": paths, "XLA_FLAGS": flags,
        "XDG_CACHE_HOME": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }  # fmt: skip


@pytest.fixture
def start(environment):
    """Starts Python with some words; it ends with the test."""
    started = []

    def start(*words, **more):
        started.append(
            subprocess.Popen(
                [sys.executable, *map(str, words)],
                env={**environment, **more},
                cwd=ROOT,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def cluster(environment, monkeypatch):
    """A Ray cluster with a head of one CPU; nodes can be added and removed."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1, "object_store_memory": _STORE_BYTES, "include_dashboard": False,
        },
    )  # fmt: skip
    made.add_small = lambda: made.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
    yield made
    made.shutdown()
