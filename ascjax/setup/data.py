"""The data set that a config names: its recordings, their headers, its parts, its features."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax.audio import wave
from ascjax.data import dataset, store, synthetic
from ascjax.data.batches import Fragments
from ascjax.errors import UserError
from ascjax.setup.keys import keyed
from ascjax.signals import StopRequest


@dataclass(frozen=True)
class Survey:
    """A data set's lists and the headers of its files.

    Attributes:
      dataset: its recordings and how a fold splits them.
      bad: reason by name of recordings without a readable header.
      sample_rate_hz: as configured, or the rate that most recordings have.
      duration_s: as configured, or the duration that most recordings have.
    """

    dataset: dataset.Dataset
    bad: dict[str, str]
    sample_rate_hz: int
    duration_s: float


@dataclass(frozen=True)
class Split:
    """Indices of the recordings of each part; ``validation`` is None under the protocol paper."""

    train: Sequence[int]
    validation: Sequence[int] | None
    test: Sequence[int]


@dataclass(frozen=True)
class Data:
    """A set's features, and the fragments of each part; ``validation`` as in `Split`."""

    dataset: dataset.Dataset
    store: store.FeatureStore
    train: Fragments
    validation: Fragments | None
    test: Fragments

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the usable recordings' names, scenes and parts."""
        digest = hashlib.sha256()
        for name, part in (
            ("train", self.train),
            ("validation", self.validation),
            ("test", self.test),
        ):
            for index in () if part is None else part.indices:
                recording = self.dataset.recordings[index]
                digest.update(f"{name}\0{recording.name}\0{recording.scene}\n".encode())
        return digest.hexdigest()


def list_dataset(config: ConfigDict, stop: StopRequest) -> dataset.Dataset:
    """Lists the recordings of the set that ``config.data`` names; synthesises the embedded one.

    Raises:
      UserError: there is no such set, or a mistake in it.
    """
    settings = config.data
    layout = settings.layout
    if not settings.root:
        raise UserError(
            "config.data.root is empty: expected the folder of a data set or a CSV file; pass "
            "--config.data.root=DIR"
        )
    root = Path(settings.root).expanduser()
    with keyed("data.root"):
        if layout == "synthetic":
            synthetic.make(root, **config.synthetic.to_dict(), stop=stop)
            layout = "tut"
        return dataset.load(root, layout=layout, fold=settings.fold, scenes=tuple(settings.scenes))


def survey(config: ConfigDict, stop: StopRequest) -> Survey:
    """Lists a set's recordings, reads their headers, and prints what is notable about them.

    Raises:
      UserError: there is no such set, or a mistake in it.
    """
    settings = config.data
    listed = list_dataset(config, stop)
    for note in listed.notes:
        tqdm.write(note)
    infos, bad = store.scan(listed.recordings, on_bad_file=settings.on_bad_file)
    rate, duration_s = store.common_rate_and_duration(infos)
    duration_s = settings.duration_s or duration_s
    _note_lengths(list(infos.values()), duration_s)
    return Survey(listed, bad, settings.sample_rate_hz or rate, duration_s)


def _note_lengths(infos: Sequence[wave.Info], duration_s: float) -> None:
    lengths = np.array([info.duration_s for info in infos])
    short, long = int(np.sum(lengths < 0.98 * duration_s)), int(np.sum(lengths > 1.02 * duration_s))
    if short:
        tqdm.write(f"{short} recordings shorter than {duration_s:g} s are repeated to fill them")
    if long:
        tqdm.write(f"of {long} recordings longer than {duration_s:g} s the rest is left out")


def split(config: ConfigDict, listed: dataset.Dataset) -> Split:
    """Returns the parts of a data set under a config's protocol.

    Raises:
      UserError: no validation part can be held out.
    """
    if config.protocol == "paper":
        return Split(listed.train, None, listed.test)
    train, validation = dataset.validation_split(
        listed,
        fraction=config.data.validation_fraction,
        seed=config.data.validation_seed,
    )
    return Split(train, validation, listed.test)


def fragments(
    listed: dataset.Dataset,
    features: store.FeatureStore,
    indices: Sequence[int],
    count: int,
    overlap: float,
) -> Fragments:
    """Returns the fragments of the usable recordings among ``indices``."""
    usable = np.array([i for i in indices if features.usable[i]], np.int64)
    scenes = [listed.recordings[i].scene for i in usable]
    labels = np.array([listed.scenes.index(scene) for scene in scenes], np.int32)
    return Fragments(features.log_mel, usable, labels, count, overlap)


def check_parts(data: Data) -> None:
    """Raises UserError unless each scene has a readable training recording, each part one."""
    root = data.dataset.root
    absent = sorted(set(range(len(data.dataset.scenes))) - set(data.train.labels.tolist()))
    if absent:
        names = ", ".join(data.dataset.scenes[i] for i in absent)
        raise UserError(
            f"{root}: no training recording of {names} that can be read; add some, or leave the "
            "scene out with --config.data.scenes"
        )
    if not len(data.test.indices):
        raise UserError(f"{root}: no recording of the test part can be read")
    if data.validation is not None and not len(data.validation.indices):
        raise UserError(
            f"{root}: no recording of the validation part can be read; raise "
            "--config.data.validation_fraction or use --config.protocol=paper"
        )
