"""The builders: a config becomes data, networks and a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict
from tqdm import tqdm

from ascjax import models
from ascjax.audio import wave
from ascjax.audio.logmel import FrontEnd
from ascjax.compute import host
from ascjax.compute.devices import AXIS, check_batch_size, local_devices
from ascjax.config import flatten
from ascjax.data import dataset, store, synthetic
from ascjax.data.batches import Fragments, steps_per_epoch
from ascjax.data.fragments import layout
from ascjax.errors import UserError, choose
from ascjax.models import weights
from ascjax.scoring import fusion
from ascjax.signals import StopRequest
from ascjax.training import feed, loop, optimizer
from ascjax.training.step import Given, Recipe

LAYOUTS = ("auto", *dataset.LAYOUTS, "synthetic")
PROTOCOLS = ("paper", "validated")
ON_BAD_FILE = ("stop", "skip")
# Lowest and highest value of numbers.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 2),
    "num_devices": (0, 2**16),
    "data.sample_rate_hz": (0, 10**6),
    "data.duration_s": (0, 86400),
    "data.min_duration_share": (0, 1),
    "data.num_workers": (0, 1024),
    "fragments.count": (1, 10**6),
    "fragments.overlap": (0, 0.99),
    "model.head_width": (1, 10**6),
    "model.dropout": (0, 0.99),
    "init.trunk_learning_rate_factor": (0, 1e6),
    "train.batch_size": (1, 10**6),
    "train.num_epochs": (1, 10**6),
    "train.label_smoothing": (0, 0.99),
    "optimizer.learning_rate": (0, 1e9),
    "optimizer.warmup_epochs": (0, 10**6),
    "optimizer.weight_decay": (0, 1e6),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.clip_norm": (0, 1e9),
    "augment.max_shift": (0, 1),
    "augment.mixup_alpha": (0, 1e3),
    "augment.num_mel_masks": (0, 100),
    "augment.max_mel_mask": (0, 10**4),
    "augment.num_frame_masks": (0, 100),
    "augment.max_frame_mask": (0, 10**4),
    "eval.batch_size": (1, 10**6),
    "checkpoint.keep": (1, 10**6),
    "checkpoint.every_epochs": (1, 10**6),
    "log_every_steps": (1, 10**9),
}


def check(config: ConfigDict) -> None:
    """Checks the names and numbers in a config before any work is done for them.

    Raises:
      UserError: a name is no choice (the message lists the choices) or a number out of range.
    """
    leaves = flatten(config.to_dict())
    for key, (low, high) in RANGES.items():
        if not low <= leaves[key] <= high:
            raise UserError(f"config.{key}: expected {low:g} to {high:g}, got {leaves[key]}")
    for key, choices in {
        "protocol": PROTOCOLS,
        "data.layout": LAYOUTS,
        "data.on_bad_file": ON_BAD_FILE,
        "data.resident": feed.SHARES,
        "model.trunk": models.TRUNKS,
        "model.head": models.HEADS,
        "fusion.fragments": fusion.METHODS,
        "fusion.channels": fusion.METHODS,
        "init.input_channel": weights.INPUT_CHANNEL,
    }.items():
        choose(f"config.{key}", leaves[key], dict.fromkeys(choices))
    channels = leaves["channels"]
    for channel in channels:
        choose("config.channels", str(channel), dict.fromkeys(wave.CHANNELS))
    if not channels or len(set(channels)) < len(channels):
        raise UserError(
            f"config.channels: expected one or more of {', '.join(wave.CHANNELS)}, each once, got "
            f"{channels}"
        )


def devices(config: ConfigDict) -> list[jax.Device]:
    """Returns the devices that a run is spread over.

    Raises:
      UserError: they aren't there, or can't share a batch equally.
    """
    over = local_devices(config.num_devices)
    check_batch_size(config.train.batch_size, len(over))
    check_batch_size(config.eval.batch_size, len(over))
    return over


@dataclass(frozen=True)
class Data:
    """A set with its features and parts; ``validation`` is None under the protocol "paper"."""

    dataset: dataset.Dataset
    store: store.FeatureStore
    duration_s: float
    train: Fragments
    validation: Fragments | None
    test: Fragments


@dataclass(frozen=True)
class Survey:
    """What the lists of a set and the headers of its files say.

    Attributes:
      dataset: its recordings and how they are split.
      bad: reason by name of recordings without a readable header.
      sample_rate_hz: as configured, or the rate that most have.
      duration_s: as configured, or the duration that most have.
    """

    dataset: dataset.Dataset
    bad: dict[str, str]
    sample_rate_hz: int
    duration_s: float

    def front_end(self, features: ConfigDict) -> FrontEnd:
        """Returns the front end that a config's ``features`` describe."""
        return FrontEnd(sample_rate_hz=self.sample_rate_hz, **features.to_dict())

    def input_shape(self, config: ConfigDict) -> tuple[int, int]:
        """Returns the shape [mel, frame] of the examples that a config's network is given.

        Raises:
          UserError: a fragment leaves its trunk no feature map; the message says what is needed.
        """
        front_end, count = self.front_end(config.features), config.fragments.count
        num_frames = front_end.num_frames(round(self.duration_s * self.sample_rate_hz))
        if num_frames < count:
            raise UserError(
                f"config.fragments.count is {count}: expected 1 to {num_frames}, the frames of a "
                f"recording of {self.duration_s:g} s"
            )
        width, _ = layout(num_frames, count, config.fragments.overlap)
        models.check_input(config.model.trunk, front_end.num_mels, width)
        return front_end.num_mels, layout(num_frames, *cutting(config))[0]

    def parts(self, config: ConfigDict) -> tuple[Sequence[int], Sequence[int] | None]:
        """Returns the recordings to train on, and to validate on: None under "paper".

        Raises:
          UserError: no validation part can be held out.
        """
        if config.protocol == "paper":
            return self.dataset.train, None
        fraction = config.data.validation_fraction
        return dataset.validation_split(self.dataset, fraction=fraction, seed=config.seed)

    def check_batch(self, config: ConfigDict) -> None:
        """Raises UserError if the training part has fewer fragments than one batch takes."""
        training, _ = self.parts(config)
        readable = sum(self.dataset.recordings[index].name not in self.bad for index in training)
        examples = readable * len(config.channels) * cutting(config)[0]
        steps_per_epoch(examples, config.train.batch_size)


def survey(config: ConfigDict, stop: StopRequest) -> Survey:
    """Finds the recordings and reads their headers, and says what is notable about them.

    Raises:
      UserError: there is no such set, or a mistake in it.
    """
    settings = config.data
    dataset = load_dataset(config, stop)
    for note in dataset.notes:
        tqdm.write(note)
    infos, bad = store.scan(dataset.recordings, on_bad_file=settings.on_bad_file)
    rate, duration_s = store.common_rate_and_duration(infos)
    duration_s = settings.duration_s or duration_s
    lengths = np.array([info.duration_s for info in infos.values()])
    short, long = int(np.sum(lengths < 0.98 * duration_s)), int(np.sum(lengths > 1.02 * duration_s))
    if short:
        tqdm.write(f"{short} recordings shorter than {duration_s:g} s are repeated to fill them")
    if long:
        tqdm.write(f"of {long} recordings longer than {duration_s:g} s the rest is left out")
    return Survey(dataset, bad, settings.sample_rate_hz or rate, duration_s)


def load_data(config: ConfigDict, found: Survey, stop: StopRequest) -> Data:
    """Extracts what the feature store lacks of the recordings found, and makes the parts.

    Raises:
      UserError: anything about the data that the user can mend.
    """
    settings = config.data
    dataset, duration_s = found.dataset, found.duration_s
    features = store.prepare(
        dataset.recordings,
        front_end=found.front_end(config.features),
        channels=tuple(config.channels),
        duration_s=duration_s,
        store_dir=Path(settings.store_dir),
        num_workers=settings.num_workers,
        on_bad_file=settings.on_bad_file,
        min_duration_share=settings.min_duration_share,
        stop=stop,
        known_bad=found.bad,
    )
    fitting, held_out = found.parts(config)

    def part(indices: Sequence[int]) -> Fragments:
        rows = np.array([i for i in indices if features.usable[i]], np.int64)
        names = [dataset.recordings[i].scene for i in rows]
        labels = np.array([dataset.scenes.index(name) for name in names], np.int32)
        return Fragments(features.log_mel, rows, labels, *cutting(config))

    data = Data(
        dataset, features, duration_s, part(fitting),
        None if held_out is None else part(held_out), part(dataset.test),
    )  # fmt: skip
    _check_parts(data)
    return data


def cutting(config: ConfigDict) -> tuple[int, float]:
    """Returns how many fragments a log-mel is cut into, and their overlap."""
    by = config.fragments
    return by.count, by.overlap


def load_dataset(config: ConfigDict, stop: StopRequest) -> dataset.Dataset:
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
    if layout == "synthetic":
        synthetic.make(root, **config.synthetic.to_dict(), stop=stop)
        layout = "tut"
    return dataset.load(root, layout=layout, fold=settings.fold, scenes=tuple(settings.scenes))


def _check_parts(data: Data) -> None:
    """Every scene must have a readable recording to learn from, and the test part one at all."""
    untaught = sorted(set(range(len(data.dataset.scenes))) - set(data.train.labels.tolist()))
    if untaught:
        names = ", ".join(data.dataset.scenes[i] for i in untaught)
        raise UserError(
            f"{data.dataset.root}: no training recording of {names} that can be read; add some, or "
            "leave the scene out with --config.data.scenes"
        )
    if not len(data.test.rows):
        raise UserError(f"{data.dataset.root}: no recording of the test part can be read")
    if data.validation is not None and not len(data.validation.rows):
        raise UserError(
            f"{data.dataset.root}: no recording of the validation part can be read; raise "
            "--config.data.validation_fraction or use --config.protocol=paper"
        )


@dataclass(frozen=True)
class Networks:
    """The same network for training (BatchNorm over devices) and for evaluation, with variables."""

    training: nn.Module
    evaluation: nn.Module
    variables: Any


def find_weights(config: ConfigDict) -> Path | None:
    """Returns the file of converted weights that training starts from, or None for random ones.

    Raises:
      UserError: there is no such file; the message says how to make it.
    """
    init = config.init
    if init.weights == "random":
        return None
    return weights.resolve(init.weights, config.model.trunk, Path(init.weights_dir))


def build_networks(
    config: ConfigDict, *, num_scenes: int, input_shape: tuple[int, int]
) -> Networks:
    """Builds the network for inputs [mel, frame] and its initial variables.

    Raises:
      UserError: an unknown name, an input too small for the trunk, or weights that don't fit.
    """
    settings, init = config.model, config.init
    path = find_weights(config)
    evaluation = build_network(config, num_scenes=num_scenes)
    # It runs once: what LLVM's costlier passes would save is less than they take.
    initial = jax.jit(
        evaluation.init,
        static_argnames="train",
        compiler_options={"xla_backend_optimization_level": 1},
    )
    # On the host: they are the same whatever device trains.
    with jax.default_device(host.cpu()):
        variables = initial(
            jax.random.key(config.seed), jnp.zeros((1, *input_shape, 1)), train=False
        )
    if path:
        variables = weights.init_from(
            variables, path, trunk=settings.trunk, input_channel=init.input_channel
        )
    training = build_network(
        config, num_scenes=num_scenes, axis_name=AXIS, remat=config.train.remat
    )
    return Networks(training, evaluation, variables)


def build_network(config: ConfigDict, *, num_scenes: int, **training: Any) -> nn.Module:
    """Builds the network alone, as ``build_networks`` does; the file of its weights isn't needed.

    Args:
      config: the whole.
      num_scenes: K.
      **training: ``axis_name`` and ``remat`` of ``models.build``, which matter to training alone.

    Raises:
      UserError: an unknown name.
    """
    planes = weights.planes(config.init.input_channel)
    return models.build(
        **config.model.to_dict(),
        num_scenes=num_scenes,
        freeze=config.init.freeze,
        planes=1 if config.init.weights == "random" else planes,
        **training,
    )


def build_plan(config: ConfigDict, fragments: Fragments) -> loop.Plan:
    """Builds how long and on what to train."""
    return loop.Plan(
        fragments=fragments,
        batch_size=config.train.batch_size,
        num_epochs=config.train.num_epochs,
        seed=config.seed,
        log_every_steps=config.log_every_steps,
        checkpoint_every_epochs=config.checkpoint.every_epochs,
        resident=config.data.resident,
    )


def build_recipe(
    config: ConfigDict,
    networks: Networks,
    plan: loop.Plan,
    *,
    num_scenes: int,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> Recipe:
    """Builds what a training step computes."""
    settings = config.optimizer.to_dict()
    learning_rates = optimizer.learning_rates(
        settings.pop("schedule"),
        learning_rate=settings.pop("learning_rate"),
        num_steps=plan.num_steps,
        warmup_steps=round(settings.pop("warmup_epochs") * plan.steps_per_epoch),
    )
    params = networks.variables["params"]
    transformation = optimizer.make(
        params=params,
        frozen=models.frozen_mask(params, config.model.trunk, config.init.freeze),
        trunk_learning_rate_factor=config.init.trunk_learning_rate_factor,
        **settings,
    )
    return Recipe(
        model=networks.training,
        optimizer=transformation,
        given=Given(mean, deviation, learning_rates, jax.random.key(config.seed + 1)),
        num_scenes=num_scenes,
        label_smoothing=config.train.label_smoothing,
        augmentation=config.augment.to_dict(),
    )
