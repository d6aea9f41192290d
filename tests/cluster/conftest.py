"""Ray clusters of this machine, and commands in processes of their own."""

import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
_STORE_BYTES = 10**8
# Nothing of these tests is kept in the user's folders, and no cluster asks for a token there.
_ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
# Of the S3 server on loopback, which takes any.
_KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}


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
        **{name.upper(): value for name, value in _KEYS.items()},
    }  # fmt: skip


@pytest.fixture
def start(environment):
    """Starts Python with some words; it ends with the test."""
    started = []

    def start(*words, cwd=ROOT, **more):
        started.append(
            subprocess.Popen(
                [sys.executable, *map(str, words)],
                env={**environment, **more},
                cwd=cwd,
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
    made.add_small = partial(made.add_node, num_cpus=1, object_store_memory=_STORE_BYTES)
    yield made
    made.shutdown()


class Bucket:
    """A client of an S3 server on loopback, with a bucket ``sounds``.

    Attributes:
      url: the server's.
      answers: by the end or beginning of an object's path, what is called before it is answered;
        if that returns a status, it is the answer.
      requests: how often each was asked for, by method and path.
    """

    def __init__(self):
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.answers, self.requests = {}, Counter()
        self._s3 = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def _answer(self, environ, respond):
        path = environ["PATH_INFO"]
        self.requests[f"{environ['REQUEST_METHOD']} {path}"] += 1
        for key, answer in self.answers.items():
            if (path.endswith(key) or path.startswith(key)) and (status := answer()):
                text = status.partition(" ")[2]
                body = (
                    f"<Error><Code>{text.replace(' ', '')}</Code><Message>{text}</Message></Error>"
                )
                respond(status, [("Content-Type", "application/xml")])
                return [body.encode()]
        return self._s3(environ, respond)

    def __getattr__(self, name):
        return getattr(self.client, name)


@pytest.fixture(scope="session")
def server(environment):
    """An S3 server on loopback."""
    pytest.importorskip("moto")
    import boto3

    made = Bucket()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    made.client = boto3.client("s3", endpoint_url=made.url, region_name="us-east-1", **_KEYS)
    yield made
    made.server.shutdown()


@pytest.fixture
def bucket(server, monkeypatch):
    """A client of that server; what a test puts into its bucket ends with the test."""
    for name, value in _KEYS.items():
        monkeypatch.setenv(name.upper(), value)
    server.answers.clear()
    server.requests.clear()
    server.create_bucket(Bucket="sounds")
    yield server
    server.answers.clear()
    for each in server.list_objects_v2(Bucket="sounds").get("Contents", []):
        server.delete_object(Bucket="sounds", Key=each["Key"])
    server.delete_bucket(Bucket="sounds")
