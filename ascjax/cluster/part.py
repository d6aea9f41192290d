"""A part of a bulk prediction: some recordings, decided on by one worker and written to Parquet."""

import dataclasses
import io
import json
import os
import random
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ascjax.audio import isolated
from ascjax.audio.errors import BadRecording
from ascjax.audio.frontend import FrontEnd
from ascjax.audio.opening import open_source
from ascjax.audio.source import count_samples
from ascjax.cluster import storage
from ascjax.errors import UserError
from ascjax.files import is_url
from ascjax.runs import sources
from ascjax.runs.ensemble import Ensemble
from ascjax.runs.loading import DEFAULT_RUN, load_or_shipped
from ascjax.runs.predictor import Classifier
from ascjax.runs.reading import Waveform, batches
from ascjax.runs.sources import Source

# Tables of DEST; of a part's files the last one that is written marks it as done.
WINDOWS, UNREADABLE, PREDICTIONS = TABLES = ("windows", "unreadable", "predictions")
# Examples that go through a network of a device at once.
DEVICE_BATCH = 128
_ROWS_AT_ONCE = 64
# Until another device is asked for the same, as one's machine may be gone, and until none is.
_PATIENCE_S, _PATIENCE_IN_ALL_S = 60, 600


@dataclass(frozen=True)
class Job:
    """job.json of DEST: what is predicted, by which network.

    Attributes:
      source: SOURCE.
      model_sha256: of the network's variables; of several folds, with a + between.
      hop_s: seconds from one window to the next; None for a window's length.
      min_score: a lower score is unknown.
      per_part: recordings of a part, but for the last.
      recordings: how many are listed.
      listed: the folder in DEST with their names.
    """

    source: str
    model_sha256: str
    hop_s: float | None
    min_score: float
    per_part: int
    recordings: int = 0
    listed: str = ""


def name(number: int, suffix: str = "parquet") -> str:
    """Returns the name of a part's files."""
    return f"part-{number:06}.{suffix}"


def model_sha256(classifier: Classifier) -> str:
    """Returns the hash of a run's network; of several folds, with a + between."""
    return "+".join(each.trained.model_sha256 for each in classifier.runs)


def _loaded(run: str | None, job: Job) -> Classifier:
    """Returns a run's classifier.

    Raises:
      UserError: it can't be read, or isn't the one that the job began with.
    """
    classifier = load_or_shipped(run and storage.staged(run))
    if model_sha256(classifier) != job.model_sha256:
        found = f"{model_sha256(classifier)[:12]}… on {socket.gethostname()}"
        raise UserError(
            f"{run or DEFAULT_RUN}: expected the network {job.model_sha256[:12]}… that the job "
            f"began with, found {found}; --run must be the same for every machine"
        )
    return classifier


class Networks:
    """An actor: a run's networks on a device."""

    def __init__(self, run: str | None, job: Job) -> None:
        self._ensemble = dataclasses.replace(_loaded(run, job).ensemble, batch=DEVICE_BATCH)
        self._ensemble.load()

    def networks(self, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `Ensemble.networks`."""
        return self._ensemble.networks(values)


@dataclass(frozen=True)
class _Elsewhere(Ensemble):
    """An ensemble whose networks are actors.

    A worker waits for each answer and meanwhile reads two batches ahead, no more: what is slower
    holds the other back. A device that is silent, as its machine may be gone, is left out for as
    long as there are others.
    """

    actors: tuple[Any, ...] = ()
    here: Ensemble | None = None
    silent: set[Any] = dataclasses.field(default_factory=set, compare=False)

    @property
    def front_end(self) -> FrontEnd | Waveform:
        """That of the ensemble."""
        assert self.here is not None
        return self.here.front_end

    def load(self) -> None:
        """Loads nothing."""

    def networks(self, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `Ensemble.networks`.

        Raises:
          UserError: no device has answered for minutes.
        """
        import ray

        asked: dict[Any, Any] = {}
        for _ in range(_PATIENCE_IN_ALL_S // _PATIENCE_S):
            others = [each for each in self.actors if each not in asked.values()]
            if others:
                actor = random.choice([e for e in others if e not in self.silent] or others)
                asked[actor.networks.remote(values)] = actor
            ready, _ = ray.wait(list(asked), timeout=_PATIENCE_S)
            if ready:
                self.silent.discard(asked[ready[0]])
                return ray.get(ready[0])
            self.silent.update(asked.values())
        raise UserError(
            f"no device has answered for {_PATIENCE_IN_ALL_S // 60} minutes, of {len(self.actors)}"
        )


@dataclass(frozen=True, repr=False)
class _Remote(Classifier):
    actors: tuple[Any, ...] = ()

    @cached_property
    def ensemble(self) -> Ensemble:
        here = Classifier(self.runs).ensemble
        return _Elsewhere(self.runs, DEVICE_BATCH, self.actors, here)


@cache
def _classifier(run: str | None, job: Job, actors: tuple[Any, ...]) -> Classifier:
    """Returns a run's classifier, made once in a process."""
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    loaded = _loaded(run, job)
    return _Remote(loaded.runs, actors) if actors else loaded


def decoded(content: bytes, kind: Any, where: str) -> Any:
    """Returns what JSON of an earlier command holds, of the type ``kind``.

    Raises:
      UserError: it is something else; the message begins with ``where``.
    """
    try:
        # Not by msgspec's own decoder, as names that are no UTF-8 are in it as escapes.
        return msgspec.convert(json.loads(content), kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UserError(f"{where} is damaged ({error}); choose another --out") from None


def predict(
    number: int,
    dest: str,
    run: str | None,
    job: Job,
    actors: tuple[Any, ...],
    *,
    careful: bool = False,
) -> int:
    """Predicts the recordings of a part and writes its rows; returns how many there are.

    A second time gives the same files, so that any number of tries and of processes may.

    Args:
      number: the part's.
      dest, run, job: see `bulk.predict`.
      actors: a `Networks` for each device; none: the networks are applied here.
      careful: first decode each recording in a process of its own, which it may end.

    Raises:
      UserError: the run or the list of recordings can't be read, DEST not be written, or none of
        the recordings be opened.
    """
    folder, classifier = storage.Folder(dest), _classifier(run, job, actors)
    listed = f"{job.listed}/{name(number, 'json')}"
    content = folder.read(listed)
    if content is None:
        raise UserError(
            f"{dest}/{listed}: expected this file, there is none; --out must be a folder or bucket "
            "that every machine sees"
        )
    paths: list[str] = decoded(content, list[str], f"{dest}/{listed}")
    rows = _decided(classifier, paths, job, careful)
    tables = _parquet(rows, classifier.scenes)
    for table in TABLES:
        folder.write({f"{table}/{name(number)}": tables[table]})
    return len(paths)


def _decided(
    classifier: Classifier, paths: list[str], job: Job, careful: bool
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yields tables' names and rows."""
    taken: list[str] = []
    out_of_reach = 0

    def fetched() -> Iterator[Source]:
        for source in storage.fetched(paths):
            taken.append(sources.name(source))
            yield _survived(source) if careful else source

    decisions = classifier.with_windows(fetched(), hop_s=job.hop_s, min_score=job.min_score)
    for index, (decision, windows) in enumerate(decisions):
        # Bytes that are no UTF-8 as escapes, as Parquet has no others.
        path = {"path": paths[index].encode(errors="backslashreplace").decode()}
        if isinstance(decision, BadRecording):
            out_of_reach += _is_out_of_reach(paths[index], decision)
            if out_of_reach == len(paths) > 1:  # not the recordings' fault
                raise UserError(
                    f"none of {len(paths)} recordings can be opened on {socket.gethostname()}; "
                    f"the last: {decision}"
                )
            reason = str(decision).removeprefix(f"{taken[index]}: ")
            yield UNREADABLE, [{**path, "reason": reason}]
            continue
        for some in batches(windows, _ROWS_AT_ONCE):
            yield (
                WINDOWS,
                [
                    {**path, "start_s": each.start_s, "end_s": each.end_s, **_columns(each)}
                    for each in some
                ],
            )
        of_all = {"seconds": decision.end_s, "windows": decision.windows}
        yield (
            PREDICTIONS,
            [{**path, **_columns(decision), **of_all, "model_sha256": job.model_sha256}],
        )


def _is_out_of_reach(path: str, error: BadRecording) -> bool:
    """Whether a disk, a network or a right may be at fault rather than the recording."""
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError):  # in a folder that is there
        return not (is_url(path) or os.path.isdir(os.path.dirname(path)))
    return isinstance(cause, OSError)


def _survived(source: Source) -> Source:
    """Returns a recording, or, if it ends the process that decodes it, one that says so."""
    if not isinstance(source, str):
        return source
    [answer] = isolated.each(_decode, [Path(source)], min_files=1)
    return storage.Lost(source, answer) if isinstance(answer, BadRecording) else source


def _decode(path: Path) -> int:
    with open_source(path) as source:
        return count_samples(source)


def _columns(scored: Any) -> dict[str, Any]:
    return {name: getattr(scored, name) for name in ("scene", "score", "unknown", "scores")}


def _parquet(
    rows: Iterable[tuple[str, list[dict[str, Any]]]], scenes: Sequence[str]
) -> dict[str, bytes]:
    """Returns the content of each table's file."""
    import pyarrow as pa
    from pyarrow import parquet

    text, number = pa.string(), pa.float64()
    scores = pa.struct([(scene, number) for scene in scenes])
    decided = [("scene", text), ("score", number), ("unknown", text), ("scores", scores)]
    columns = {
        WINDOWS: [("start_s", number), ("end_s", number), *decided],
        UNREADABLE: [("reason", text)],
        PREDICTIONS: [
            *decided, ("seconds", number), ("windows", pa.int64()), ("model_sha256", text),
        ],
    }  # fmt: skip
    schemas = {table: pa.schema([("path", text), *more]) for table, more in columns.items()}
    # Arrow's columns take a twentieth of what Python's rows do; they are made of some at once.
    made: dict[str, list[Any]] = {table: [] for table in TABLES}
    waiting: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}

    def make(table: str) -> None:
        made[table].append(pa.Table.from_pylist(waiting[table], schemas[table]))
        waiting[table] = []

    for table, values in rows:
        waiting[table] += values
        if len(waiting[table]) >= _ROWS_AT_ONCE:
            make(table)
    content = {}
    for table in TABLES:
        make(table)
        file = io.BytesIO()
        parquet.write_table(pa.concat_tables(made[table]).combine_chunks(), file)
        content[table] = file.getvalue()
    return content
