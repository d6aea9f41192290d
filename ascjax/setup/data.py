"""The data set that a config names: its recordings, their headers, its parts, its features."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax.audio.wave import Info
from ascjax.data import copies, cutting, dataset, leaks, store, synthetic, tables
from ascjax.data.batches import Fragments
from ascjax.data.choice import Choice, choose_rate_and_duration, two_durations
from ascjax.data.describe import describe
from ascjax.data.describe_text import brief
from ascjax.data.listing import Fold
from ascjax.errors import UserError
from ascjax.files import as_path, check_on_disk
from ascjax.setup.keys import keyed
from ascjax.signals import StopRequest
from ascjax.words import counted


@dataclass(frozen=True)
class Survey:
    """A data set's lists and the headers of its files.

    Attributes:
      dataset: its recordings and how a fold splits them.
      bad: reason by name of recordings without a readable header.
      sample_rate_hz: as configured, or the rate that most recordings have.
      duration_s: as configured, or the duration that most recordings have.
      whole: what the fold uses, and the folds.
      infos: their headers, by index.
    """

    dataset: dataset.Dataset
    bad: dict[str, str]
    sample_rate_hz: int
    duration_s: float
    whole: dataset.Catalogue
    infos: Mapping[int, Info]


@dataclass(frozen=True)
class Split:
    """Indices of the recordings of each part.

    ``validation`` is None except under the protocol validated, ``test`` empty under all.
    """

    train: Sequence[int]
    validation: Sequence[int] | None
    test: Sequence[int]


@dataclass(frozen=True)
class Data:
    """A set's features, and the fragments of each part; ``validation`` as in `Split`.

    ``unknown`` are those of recordings of none of the scenes, of the training and the test part;
    None if the config names no such label. Their own labels are 0.
    """

    dataset: dataset.Dataset
    store: store.FeatureStore
    train: Fragments
    validation: Fragments | None
    test: Fragments
    unknown: tuple[Fragments, Fragments] | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the usable recordings' names, scenes and parts."""
        digest = hashlib.sha256()
        for name, part in (
            ("train", self.train),
            ("validation", self.validation),
            ("test", self.test),
            *zip(("unknown, train", "unknown, test"), self.unknown or (), strict=False),
        ):
            for index in () if part is None else part.indices:
                recording = self.dataset.recordings[index]
                digest.update(f"{name}\0{recording.name}\0{recording.scene}\n".encode())
        return digest.hexdigest()


def check_root(config: ConfigDict) -> None:
    """Raises UserError if no data set is named, or one in a bucket."""
    if not config.data.root:
        raise UserError(
            "config.data.root is empty: expected the folder of a data set or a CSV file; pass "
            "--config.data.root=DIR"
        )
    for name in ("root", "store_dir"):
        check_on_disk(config.data[name], f"config.data.{name}")


def catalogue(config: ConfigDict, stop: StopRequest) -> dataset.Catalogue:
    """Lists all recordings and folds of the set that ``config.data`` names.

    The embedded set is synthesised first.

    Raises:
      UserError: there is no such set, or a mistake in it.
    """
    settings = config.data
    layout = settings.layout
    check_root(config)
    root = as_path(settings.root)
    with keyed("data.root"):
        if layout == "synthetic":
            synthetic.make(root, **config.synthetic.to_dict(), stop=stop)
            layout = "tut"
        return dataset.read_catalogue(
            root,
            layout=layout,
            split=settings.split,
            columns=tables.parse_columns(settings.columns),
            stay_inside=settings.stay_inside,
        )


def survey(config: ConfigDict, stop: StopRequest) -> Survey:
    """Lists a set's recordings, reads their headers, and prints what is worth knowing of them.

    Raises:
      UserError: there is no such set, or a mistake in it.
    """
    settings = config.data
    everything = catalogue(config, stop)
    with keyed("data"):
        whole = dataset.used_by(
            everything, settings.fold, settings.devices, settings.scenes, settings.unknown
        )
        listed = dataset.select(
            everything, settings.fold, settings.scenes, settings.devices, settings.unknown
        )
    infos, bad = store.scan(whole.recordings, on_bad_file=settings.on_bad_file)
    by_name = {whole.recordings[index].name: info for index, info in infos.items()}
    choice = choose_rate_and_duration(
        infos.values(),
        sample_rate_hz=settings.sample_rate_hz,
        duration_s=settings.window_s or settings.duration_s,
        min_duration_share=settings.min_duration_share,
    )
    if not (settings.window_s or settings.duration_s):
        _check_not_mixed(config, [info.duration_s for info in infos.values()], choice)
    hop_s = settings.window_hop_s or settings.window_s
    if settings.window_s:
        least_s = settings.min_duration_share * settings.window_s
        used_s = sum(
            cutting.used_s(info.duration_s, window_s=settings.window_s, hop_s=hop_s)
            for info in infos.values()
            if info.duration_s >= least_s
        )
        why = f"{choice.why}, in windows every {hop_s:g} s"
        choice = replace(choice, why=why, used_s=used_s, num_cut=0)
    tqdm.write(brief(describe(whole, infos, bad, choice=choice)))
    if settings.on_bad_file == "stop":
        _check_lengths(config, by_name, choice)
    if settings.window_s:
        listed = cutting.into_windows(
            listed,
            {name: info.duration_s for name, info in by_name.items()},
            window_s=settings.window_s,
            hop_s=hop_s,
        )
        bad = {each.name: bad[each.whole] for each in listed.recordings if each.whole in bad}
    return Survey(listed, bad, choice.sample_rate_hz, choice.duration_s, whole, infos)


def _check_not_mixed(config: ConfigDict, lengths: Sequence[float], choice: Choice) -> None:
    """Raises UserError if most of the longer recordings would go unused beside far shorter ones."""
    if mixed := two_durations(lengths, choice.duration_s):
        (short_s, shorts), (long_s, longs) = mixed
        raise UserError(
            f"{config.data.root}: mixes {counted(shorts, 'recording')} of {short_s:g} s with "
            f"{longs:,} of {long_s:g} s; train on one kind, cut all into windows with "
            f"--config.data.window_s={short_s:g}, or take the first of each with "
            f"--config.data.duration_s={short_s:g}"
        )


def _check_lengths(config: ConfigDict, infos: Mapping[str, Info], choice: Choice) -> None:
    """Raises UserError, before anything is extracted, if recordings are too short."""
    least_s = config.data.min_duration_share * choice.duration_s
    # Durations of headers are rounded; extraction has the last word.
    short = [name for name, info in infos.items() if info.duration_s < least_s - 0.01]
    if short:
        share = config.data.min_duration_share
        raise UserError(
            f"{config.data.root}: {counted(len(short), 'recording')} shorter than {least_s:g} s, "
            f"{share:g} of the {choice.duration_s:g} s that training takes, the first: {short[0]} "
            f"with {infos[short[0]].duration_s:g} s; leave them out with "
            "--config.data.on_bad_file=skip, or set another --config.data.duration_s or "
            "--config.data.min_duration_share"
        )


def find_leaks(config: ConfigDict, surveyed: Survey, stop: StopRequest) -> tuple[str, ...]:
    """Returns and prints what flatters the fold's test part or contradicts itself, line by line.

    The recordings are read for it once for each set.

    Raises:
      UserError: there is something, and ``config.data.on_leak`` is ``stop``.
      Stopped: a stop was requested.
    """
    settings, whole, stops = config.data, surveyed.whole, config.data.on_leak == "stop"
    same = copies.find_once(whole.recordings, surveyed.infos, as_path(settings.store_dir), stop)
    fold = whole.folds[settings.fold]
    if config.protocol == "all":  # nothing is tested that could be flattered
        fold = Fold(tuple(sorted({*fold.train, *fold.test})), ())
    found = leaks.find(whole.recordings, {settings.fold: fold}, same)
    flattering = [finding for finding in found if finding.kind != "copy"]
    for finding in flattering:
        tqdm.write(str(finding))
    if flattering and stops:
        others = len(flattering) - 1
        more = f" (and {counted(others, 'other problem')}, said above)" * (others > 0)
        raise UserError(
            f"config.data.on_leak: {flattering[0]}{more}\nkeep what is the same on one side and "
            "under one label, or train all the same with --config.data.on_leak=warn"
        )
    return tuple(map(str, flattering))


def split(config: ConfigDict, listed: dataset.Dataset) -> Split:
    """Returns the parts of a data set under a config's protocol.

    Raises:
      UserError: no validation part can be held out.
    """
    if config.protocol == "all":
        devices = set(config.data.devices)
        every = sorted({*listed.train, *listed.test})
        used = [i for i in every if not devices or listed.recordings[i].device in devices]
        return Split(used, None, ())
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
    place = {scene: index for index, scene in enumerate(listed.scenes)}
    labels = np.array([place.get(listed.recordings[i].scene, 0) for i in usable], np.int32)
    return Fragments(features.log_mel, usable, labels, count, overlap)


def check_parts(data: Data, split: Split) -> None:
    """Raises UserError unless each scene has a readable training recording, each part one."""
    root = data.dataset.root
    absent = sorted(set(range(len(data.dataset.scenes))) - set(data.train.labels.tolist()))
    if absent:
        names = ", ".join(data.dataset.scenes[i] for i in absent)
        raise UserError(
            f"{root}: no training recording of {names} that can be read; add some, or leave the "
            "scene out with --config.data.scenes"
        )
    if split.test and not len(data.test.indices):
        raise UserError(f"{root}: no recording of the test part can be read")
    if data.validation is not None and not len(data.validation.indices):
        raise UserError(
            f"{root}: no recording of the validation part can be read; raise "
            "--config.data.validation_fraction or use --config.protocol=paper"
        )
