"""Setup: the objects that a config describes for a surveyed data set, each made once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
from ml_collections import ConfigDict

from ascjax import models
from ascjax.audio import frontends
from ascjax.audio.frontend import FrontEnd
from ascjax.compute.devices import all_devices, check_batch_size
from ascjax.data import store
from ascjax.data.batches import steps_per_epoch
from ascjax.data.fragments import layout
from ascjax.errors import UserError
from ascjax.files import as_path
from ascjax.models import weights
from ascjax.scoring.fusion import Fusion
from ascjax.setup.data import Data, Split, Survey, check_parts, fragments, split
from ascjax.setup.keys import keyed
from ascjax.signals import StopRequest


@dataclass(frozen=True)
class Setup:
    """What a config describes, apart from the network (`setup.network`) and its training.

    Properties are computed when first asked for, and raise a UserError that names the config key.
    """

    config: ConfigDict
    survey: Survey

    @cached_property
    def devices(self) -> list[jax.Device]:
        """Devices that share each batch."""
        return devices(self.config)

    @cached_property
    def front_end(self) -> FrontEnd:
        """The front end, at the set's sample rate."""
        settings = self.config.features.to_dict()
        with keyed("features", "."):
            return frontends.make(settings.pop("name"), self.survey.sample_rate_hz, settings)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that are trained on and fused."""
        return tuple(self.config.channels)

    @cached_property
    def fusion(self) -> Fusion:
        """How posteriors become scores."""
        return Fusion(**self.config.fusion.to_dict())

    @cached_property
    def input_shape(self) -> tuple[int, int]:
        """Shape [mel, frame] of a fragment; the trunk has a feature map of it."""
        count, num_mels = self.config.fragments.count, self.front_end.num_mels
        duration_s = self.survey.duration_s
        num_frames = self.front_end.num_frames(round(duration_s * self.survey.sample_rate_hz))
        if num_frames < count:
            raise UserError(
                f"config.fragments.count is {count}: expected 1 to {num_frames}, the frames of a "
                f"recording of {duration_s:g} s"
            )
        width, _ = layout(num_frames, count, self.config.fragments.overlap)
        try:
            models.check_input(self.config.model.trunk, num_mels, width)
        except UserError as error:
            raise UserError(
                f"{error}: use fewer fragments (config.fragments.count) or another trunk"
            ) from None
        return num_mels, width

    @cached_property
    def split(self) -> Split:
        """Indices of the recordings of each part."""
        return split(self.config, self.survey.dataset)

    @cached_property
    def weights_file(self) -> Path | None:
        """File of converted weights that training starts from; None for random weights."""
        return weights_file(self.config)

    def check(self) -> None:
        """Raises UserError for what can't work, before features are extracted."""
        _ = self.devices, self.input_shape, self.weights_file
        bad, recordings = self.survey.bad, self.survey.dataset.recordings
        readable = sum(recordings[index].name not in bad for index in self.split.train)
        examples = readable * len(self.channels) * self.config.fragments.count
        with keyed("train.batch_size"):
            steps_per_epoch(examples, self.config.train.batch_size)

    def extract(self, stop: StopRequest, left_out: Mapping[str, str] | None = None) -> Data:
        """Extracts the features that the store still lacks.

        Args:
          stop: asked between recordings.
          left_out: reasons by name of recordings that stay left out, as a run began without them.

        Raises:
          UserError: a recording can't be read, a part is empty, or the store can't be written.
          Stopped: a stop was requested.
        """
        settings, listed = self.config.data, self.survey.dataset
        features = store.prepare(
            listed.recordings,
            front_end=self.front_end,
            channels=self.channels,
            duration_s=self.survey.duration_s,
            store_dir=as_path(settings.store_dir),
            num_workers=settings.num_workers,
            on_bad_file=settings.on_bad_file,
            min_duration_share=settings.min_duration_share,
            stop=stop,
            known_bad={**self.survey.bad, **(left_out or {})},
        )
        cut = self.config.fragments.count, self.config.fragments.overlap
        train, test = (
            fragments(listed, features, indices, *cut)
            for indices in (self.split.train, self.split.test)
        )
        validation = self.split.validation
        held_out = None if validation is None else fragments(listed, features, validation, *cut)
        unknown = None
        if settings.unknown:
            unknown = (
                fragments(listed, features, listed.unknown.train, *cut),
                fragments(listed, features, listed.unknown.test, *cut),
            )
        data = Data(listed, features, train, held_out, test, unknown)
        check_parts(data, self.split)
        return data


def devices(config: ConfigDict) -> list[jax.Device]:
    """Returns the devices that share each batch.

    Raises:
      UserError: they aren't there, or can't share a batch equally.
    """
    with keyed("num_devices"):
        found = all_devices(config.num_devices)
    for group in ("train", "eval"):
        with keyed(f"{group}.batch_size"):
            check_batch_size(config[group].batch_size, len(found))
    return found


def weights_file(config: ConfigDict) -> Path | None:
    """Returns the file of converted weights that training starts from, or None for random ones.

    Raises:
      UserError: there is no such file, or it isn't one of the trunk; the message says how to make
        it.
    """
    init = config.init
    if init.weights == "random":
        return None
    try:
        path = weights.resolve(init.weights, config.model.trunk, init.weights_dir)
        return weights.load_of(path, config.model.trunk).path
    except UserError as error:
        raise UserError(
            f"config.init.weights: {error}; or start from random weights with "
            "--config.init.weights=random"
        ) from None
