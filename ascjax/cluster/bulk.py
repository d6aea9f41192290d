"""Bulk prediction on Ray Data: any number of recordings, of any length, into Parquet.

The list of recordings is kept in DEST, in parts. Each part is a task of Ray Data that decodes,
computes log-mels, applies the network in batches, on a device through an actor, and writes a file
of each table. A part whose files are there is done, whatever kills the job; one that is done twice
comes to the same files. The process that began it all sees a number for each part.
"""

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from tqdm import tqdm

from ascjax import signals
from ascjax.cluster import listing, part, storage
from ascjax.cluster.connection import check as check_cluster
from ascjax.cluster.connection import connected
from ascjax.errors import UserError
from ascjax.files import exclusive, is_url
from ascjax.runs.predictor import Classifier
from ascjax.runs.reading import batches

_JOB_FILE = "job.json"
# Log-mels on their way to devices; without devices next to nothing.
_STORE_BYTES = 2**30
# Parts of the list that are written at once.
_AT_ONCE = 64
# How often a part is begun whose worker dies, as Ray itself would never give up; and after how many
# times each recording is first decoded in a process of its own.
_TRIES, _TRIES_TOGETHER = 5, 2
# After so many failures it isn't the parts.
_MOST_FAILURES = 20


def predict(
    source: str,
    dest: str,
    run: str | None,
    classifier: Classifier,
    *,
    hop_s: float | None,
    min_score: float,
    per_part: int,
    again: bool = False,
    address: str | None,
) -> tuple[int, int]:
    """Predicts every recording of ``source`` that ``dest`` lacks.

    Args:
      source: see `listing.find`.
      dest: a new folder, or that of the same job.
      run: see `loading.load`, where each machine of the cluster can read it; also a URL; None for
        the shipped network.
      classifier: of that run.
      hop_s, min_score: see `Classifier.predict`.
      per_part: recordings of a part.
      again: whether parts with recordings that couldn't be read are predicted anew.
      address: see `connection.connected`.

    Returns:
      How many recordings there are, and how many of them can't be read.

    Raises:
      UserError: a mistake in one of these, no cluster, or parts failed; the others are done.
      Stopped: Ctrl-C or SIGTERM; parts that are done stay.
    """
    job = part.Job(source, part.model_sha256(classifier), hop_s, min_score, per_part)
    folder = storage.Folder(dest)
    kept = _kept(folder, job)
    paths: Iterable[str] = ()
    check_cluster(address)
    if kept is None:
        found = listing.find(source)
        paths = chain([next(found)], found)  # what is wrong with SOURCE is said here
    with contextlib.nullcontext() if is_url(dest) else exclusive(Path(folder.root), "predicting"):
        # Another process may have begun meanwhile.
        job = kept or _kept(folder, job) or _begin(folder, job, paths)
        done = set(folder.names(part.PREDICTIONS))
        if again and done:
            done -= _forgotten(folder)
        parts = range(-(-job.recordings // per_part))
        todo = [number for number in parts if part.name(number) not in done]
        if todo:
            with connected(address, store_bytes=_STORE_BYTES, log_to_driver=False) as ray:
                _predict(ray, todo, dest, run, job)
            for table in part.TABLES:
                folder.remove_partial(table)
        return job.recordings, sum(folder.rows(part.UNREADABLE).values())


def _forgotten(folder: storage.Folder) -> set[str]:
    """Makes parts with unreadable recordings undone; returns their names."""
    names = {name for name, rows in folder.rows(part.UNREADABLE).items() if rows}
    for name in names:
        folder.remove(f"{part.PREDICTIONS}/{name}")
    return names


def _kept(folder: storage.Folder, job: part.Job) -> part.Job | None:
    """Returns the job that DEST holds, if there is one.

    Raises:
      UserError: it is another one or damaged, or DEST holds other things.
    """
    content = folder.read(_JOB_FILE)
    if content is None:
        # A list without a job is left where a process was killed as it began.
        others = {name for name in folder.names() if name[0] != "."} - {"list"}
        if others:
            raise UserError(
                f"--out={folder.location}: expected a new or empty folder, found {min(others)}"
            )
        return None
    before: part.Job = part.decoded(content, part.Job, f"--out={folder.location}: {_JOB_FILE}")
    now = dataclasses.replace(job, recordings=before.recordings, listed=before.listed)
    for name, value in asdict(now).items():
        if getattr(before, name) != value:
            raise UserError(
                f"--out={folder.location}: holds another job: {name} is {getattr(before, name)!r} "
                f"there, {value!r} now; choose another --out"
            )
    return now


def _begin(folder: storage.Folder, job: part.Job, paths: Iterable[str]) -> part.Job:
    """Writes the list of recordings and then job.json, or returns what another process wrote."""
    listed = f"list/{uuid4().hex[:8]}"
    if not is_url(folder.location):  # in a bucket, which has no locks, it may be another's
        folder.remove("list")
    count, parts = 0, enumerate(batches(paths, job.per_part))
    for several in batches(parts, _AT_ONCE):
        files = {part.name(number, "json"): json.dumps(p).encode() for number, p in several}
        folder.write({f"{listed}/{name}": content for name, content in files.items()})
        count += sum(len(p) for _, p in several)
    begun = dataclasses.replace(job, recordings=count, listed=listed)
    if folder.create(_JOB_FILE, json.dumps(asdict(begun), indent=1).encode()):
        return begun
    folder.remove(listed)
    others = _kept(folder, job)
    assert others is not None, "it was there"
    return others


def _predict(ray: Any, todo: list[int], dest: str, run: str | None, job: part.Job) -> None:
    """Predicts parts on Ray Data."""
    signals.handle(caught=True)  # Ray has put its own in their place
    context = ray.data.DataContext.get_current()
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the import sets another
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = -1  # long recordings take hours
    gpus = int(ray.available_resources().get("GPU", 0))
    device = ray.remote(
        num_cpus=0, num_gpus=1, max_restarts=-1, max_task_retries=-1, max_concurrency=2
    )
    actors = tuple(device(part.Networks).remote(run, job) for _ in range(gpus))
    tqdm.write(f"networks: on {gpus} GPUs" if gpus else "networks: on processors, no GPU is free")
    counts = ray.data.from_items(todo, override_num_blocks=len(todo)).map_batches(
        _task,
        fn_kwargs={"dest": dest, "run": run, "job": job, "actors": actors},
        # While one task waits for a device, another one decodes.
        num_cpus=0.5 if actors else 1,
        # One thread a worker, as there is a worker for each processor.
        runtime_env={"env_vars": {"NPROC": "1", "JAX_PLATFORMS": "cpu"}},
    )
    last = job.recordings - sum(_size(job, number) for number in todo)
    failed = []
    with tqdm(total=job.recordings, initial=last, unit="file", desc="predict") as bar:
        try:
            for row in counts.iter_rows():
                bar.update(row["count"])
                if row["error"]:
                    failed.append(row["error"])
                if len(failed) == _MOST_FAILURES:
                    break
        except signals.Interrupted as stop:
            where = f"with {bar.n:,} of {job.recordings:,} recordings written"
            raise signals.Stopped(where, stop.code) from None
        except ray.exceptions.RayError as error:
            reason = str(error).strip().rpartition("\n")[2]  # a traceback comes before it
            raise UserError(f"Ray: {reason}; the same command goes on") from None
    if failed:
        which = f"{len(failed)} parts failed, the first: " if len(failed) > 1 else ""
        raise UserError(f"{which}{failed[0]}; the same command goes on")


def _size(job: part.Job, number: int) -> int:
    return min(job.per_part, job.recordings - number * job.per_part)


def _task(rows: dict[str, np.ndarray], **of_job: Any) -> dict[str, list[Any]]:
    """Predicts the part of a block in a Ray worker."""
    from ray._private import worker
    from ray.exceptions import RayError

    [number] = rows["item"].tolist()
    this: Any = worker.global_worker
    tries = this.core_worker.get_current_task_attempt_number()
    if tries >= _TRIES:
        listed = f"{of_job['dest']}/{of_job['job'].listed}/{part.name(number, 'json')}"
        died = f"{listed}: a worker died {_TRIES} times at one of these recordings, or its machine"
        return {"count": [0], "error": [died]}
    try:
        count = part.predict(number, **of_job, careful=tries >= _TRIES_TOGETHER)
        return {"count": [count], "error": [""]}
    except (UserError, RayError) as error:  # the latter, of an actor that can't start
        return {"count": [0], "error": [str(error).strip().rpartition("\n")[2]]}
