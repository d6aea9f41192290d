"""Readers of other people's files, as functions of one file's bytes that let only UserError out.

Each writes the bytes where its reader looks for them and reads as commands do. What else comes out,
and values that no reader may return, are faults. Imports are within, so that each target needs only
its own.
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import fuzz_seeds as seeds
import numpy as np

from ascjax.errors import UserError

Read = Callable[[bytes], None]

_MEMORY = Path("/dev/shm")  # files there need no disk


@dataclass(frozen=True)
class Target:
    """Something to fuzz.

    Attributes:
      make: makes the function of bytes.
      seeds: makes sound files to begin with.
      failed: makes files that once let something out, took gigabytes or never ended.
    """

    make: Callable[[], Read]
    seeds: Callable[[], list[bytes]]
    failed: Callable[[], list[bytes]] = list


def audio() -> Read:
    """Every way in which a recording is read: header, part, windows, check before prediction."""
    from ascjax.audio import wave
    from ascjax.audio.finding import find_bad
    from ascjax.audio.windows import windows

    path = _folder() / "a.wav"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        rate_hz = 16_000
        with suppress(UserError):
            info = wave.probe(path)
            rate_hz = info.sample_rate_hz
            assert info.num_samples > 0
        with suppress(UserError):
            samples, _ = wave.read(path, 22_050, duration_s=0.5, start_s=0.01)
            assert _is_wave(samples)
        with suppress(UserError):
            cut = windows(path, sample_rate_hz=rate_hz, window_samples=4_000, hop_samples=3_000)
            assert all(_is_wave(window.samples) for window in islice(cut, 3))
        find_bad([path])

    return read


def _is_wave(samples: np.ndarray) -> bool:
    return samples.dtype == np.float32 and samples.size > 0 and bool(np.isfinite(samples).all())


def table() -> Read:
    """A table of recordings; 0.wav to 9.wav are there."""
    from ascjax.data.catalogue import read_catalogue

    path = _folder() / "labels.csv"
    for number in range(10):
        (path.parent / f"{number}.wav").touch()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for root in (path, path.parent):
            with suppress(UserError):
                read_catalogue(root)

    return read


def folds() -> Read:
    """Lists of published sets: the first byte says which file the others are."""
    from ascjax.data.catalogue import read_catalogue

    lists = []
    for files in seeds.SETS:
        root = _folder()
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for folder in ("audio/fold1", "audio/fold2", "audio"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(8):
                (root / folder / f"{number}.wav").touch()
        lists += [(root, root / name, text) for name, text in files.items()]

    def read(data: bytes) -> None:
        root, path, sound = lists[data[0] % len(lists) if data else 0]
        path.write_bytes(data[1:])
        with suppress(UserError):
            read_catalogue(root)
        path.write_text(sound)

    return read


def run() -> Read:
    """JSON of a run, a training log, a sweep, a sharded checkpoint: the first byte says which."""
    from ascjax.convert import checkpoint
    from ascjax.paper import plan
    from ascjax.runs.run import Run
    from ascjax.training.journal import read_history

    folder = _folder() / "run"
    shutil.copytree(seeds.SHIPPED, folder)
    (folder / "config.json").write_text("{}")
    (folder / "sweep.json").write_text("{}")
    sweep = plan.Sweep(data_root="data", tables=["1"], seeds=1, folds=None)

    def open_run(_: Path) -> None:
        opened = Run.open(folder)
        repr(opened)
        assert opened.front_end.num_mels > 0
        assert isinstance(opened.config, dict)

    readers: dict[str, Callable[[Path], object]] = {
        "metrics.jsonl": read_history,
        "sweep.json": lambda _: plan.read_limits(folder, sweep),
        "a.index.json": checkpoint.locate,
    }

    def read(data: bytes) -> None:
        name = seeds.RUN_FILES[data[0] % len(seeds.RUN_FILES) if data else 0]
        path = folder / name
        sound = path.read_bytes() if path.exists() else None
        path.write_bytes(data[1:])
        try:
            with suppress(UserError):
                readers.get(name, open_run)(path)
        finally:
            path.unlink()
            if sound is not None:
                path.write_bytes(sound)

    return read


def npz() -> Read:
    """Arrays of a run."""
    from ascjax.files import read_arrays

    path = _folder() / "posteriors.npz"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(UserError):
            arrays = read_arrays(path, "posteriors", "label")
            assert not any(array.dtype.hasobject for array in arrays.values())

    return read


def safetensors() -> Read:
    """Converted weights, and the same file as the source of a conversion."""
    from ascjax.convert import checkpoint
    from ascjax.models import weights

    path = _folder() / "a.safetensors"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(UserError):
            for array in weights.load(path).tensors.values():
                array.tobytes()
        with suppress(UserError):
            weights.load_weights({"params": {"trunk": {}}}, path, trunk="vgg16")
        with suppress(UserError):
            checkpoint.read([path])

    return read


def torch() -> Read:
    """A torch checkpoint up to where torch itself reads it: its kind, its members' checksums."""
    from ascjax.convert import kinds, torchfile

    path = _folder() / "a.pth"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(UserError):
            if kinds.identify(path) == kinds.TORCH_ZIP:
                torchfile.verify(path)

    return read


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))


TARGETS = {
    "wav": Target(audio, seeds.wav, seeds.failed_wav),
    "flac": Target(audio, seeds.flac, seeds.failed_flac),
    "ogg": Target(audio, seeds.ogg),
    "mp3": Target(audio, seeds.mp3, seeds.failed_mp3),
    "table": Target(table, seeds.table, seeds.failed_table),
    "folds": Target(folds, seeds.folds, seeds.failed_folds),
    "run": Target(run, seeds.run, seeds.failed_run),
    "npz": Target(npz, seeds.npz, seeds.failed_npz),
    "safetensors": Target(safetensors, seeds.safetensors),
    "torch": Target(torch, seeds.torch, seeds.failed_torch),
}
