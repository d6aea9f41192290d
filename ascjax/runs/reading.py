"""From recordings to the network's inputs: windows in turn, read ahead in a thread."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, TypeVar

import numpy as np
from jaxtyping import Float, Float32

from ascjax.audio.channels import shares
from ascjax.audio.errors import BadRecording, bad_recording
from ascjax.audio.frontend import FrontEnd
from ascjax.audio.quality import level_db
from ascjax.audio.windows import Window
from ascjax.errors import UserError

T = TypeVar("T")

# Seconds that an end waits for the thread that reads ahead.
_PATIENCE_S = 0.5


@dataclass(frozen=True)
class Waveform:
    """In the place of a front end: leaves waveforms as they are, for a network with its own."""

    sample_rate_hz: int

    def __call__(self, wave: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Returns the waveform."""
        return np.asarray(wave, np.float32)


@dataclass(frozen=True)
class Input:
    """A window of a recording, as the network takes it.

    Attributes:
      recording: its index among those that are read.
      start_s, end_s: where the window lies in it.
      level_db: root mean square in dB of full scale (`quality.level_db`).
      values: float32, of the window repeated to its full length: [channel, mel, frame], or its
        waveform [column, sample] for an exported network.
    """

    recording: int
    start_s: float
    end_s: float
    level_db: float
    values: np.ndarray


@dataclass(frozen=True)
class Failed:
    """A recording that can't be read, or not to its end."""

    recording: int
    error: BadRecording


def inputs(
    recordings: Iterable[tuple[str, Iterator[Window]]],
    front_end: FrontEnd | Waveform,
    channels: tuple[str, ...],
    window_samples: int,
) -> Iterator[Input | Failed]:
    """Yields the windows of recordings, each with its name, in order.

    A bad one ends with `Failed`, also where it is so loud that its features aren't finite.
    """
    for index, (name, windows) in enumerate(recordings):
        try:
            for window in windows:
                samples, rate = window.samples, front_end.sample_rate_hz
                yield Input(
                    index,
                    window.start_s,
                    window.start_s + samples.shape[1] / rate,
                    level_db(samples),
                    _log_mels(name, samples, front_end, channels, window_samples),
                )
        except BadRecording as error:
            yield Failed(index, error)


def _log_mels(
    name: str,
    samples: Float[np.ndarray, "column sample"],
    front_end: FrontEnd | Waveform,
    channels: tuple[str, ...],
    window_samples: int,
) -> Float32[np.ndarray, "..."]:
    missing = window_samples - samples.shape[1]
    whole = np.pad(samples, ((0, 0), (0, missing)), mode="wrap")
    try:
        return front_end(whole, shares(channels, len(whole)))
    except UserError as error:
        raise bad_recording(name, error) from None


def read_ahead(items: Iterator[T], limit: int) -> Iterator[T]:
    """Returns an iterator of items that a thread makes, at most ``limit`` of them ahead.

    The thread begins at once; network and front end then keep a core each busy. An error in the
    thread is raised where the items are taken.
    """
    made: queue.Queue[Callable[[], T] | None] = queue.Queue(limit)
    stopped = threading.Event()

    def put(item: Callable[[], T] | None) -> None:
        while not stopped.is_set():
            try:
                return made.put(item, timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(partial(_given, item))
                if stopped.is_set():
                    return
        except BaseException as error:
            put(partial(_raise, error))
        put(None)

    def take() -> Iterator[T]:
        try:
            while (item := made.get()) is not None:
                yield item()
        finally:
            stopped.set()
            # A thread within native code while Python ends aborts it; one may wait for a stream.
            thread.join(_PATIENCE_S)

    thread = threading.Thread(target=make, name="ascjax-read", daemon=True)
    thread.start()
    return take()


def _given(item: T) -> T:
    return item


def _raise(error: BaseException) -> NoReturn:
    raise error


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields lists of ``size`` items, the last one shorter."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
