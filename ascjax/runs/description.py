"""Description of a run before its first step, as run.json holds it."""

import hashlib
from pathlib import Path

import jax
import numpy as np

from ascjax.data import synthetic
from ascjax.models import complexity, cost, weights
from ascjax.runs import environment
from ascjax.runs.info import (
    Counts,
    DataSource,
    Followed,
    InitialWeights,
    Model,
    Normalisation,
    RunInfo,
)
from ascjax.setup import Data, Setup
from ascjax.setup import network as builders


def describe(
    setup: Setup,
    data: Data,
    networks: builders.Networks,
    mean: np.ndarray,
    deviation: np.ndarray,
    leaks: tuple[str, ...],
    teacher: str = "",
    followed: Followed | None = None,
) -> RunInfo:
    """Returns run.json: with a checkpoint, all that prediction needs.

    ``teacher`` is the SHA-256 of the teacher's model, empty without one.
    """
    config, listed = setup.config, data.dataset
    params = jax.tree.leaves(networks.variables["params"])
    settings = builders.model_settings(config)
    del settings["convolutions"]  # how it is computed, not what
    fragments_per_recording = len(setup.channels) * data.train.count
    flops = fragments_per_recording * cost.of_example(networks.evaluation, setup.input_shape)
    example = complexity.of_example(networks.evaluation, setup.input_shape)
    validation = 0 if data.validation is None else len(data.validation.indices)
    return RunInfo(
        scenes=listed.scenes,
        channels=setup.channels,
        fragments=data.train.count,
        overlap=data.train.overlap,
        duration_s=setup.survey.duration_s,
        front_end=setup.front_end.to_dict(),
        normalisation=Normalisation(tuple(mean.tolist()), tuple(deviation.tolist())),
        model=Model(
            **settings,
            parameters=sum(p.size for p in params),
            flops_per_recording=flops,
            macs_per_recording=fragments_per_recording * example.macs,
            peak_activation_bytes=example.peak_activation_bytes,
        ),
        fusion=setup.fusion,
        protocol=config.protocol,
        recordings=Counts(len(data.train.indices), validation, len(data.test.indices)),
        devices=_devices(data),
        teacher=teacher,
        left_out=data.store.bad,
        data=DataSource(
            root=str(listed.root),
            layout=listed.layout,
            fold=config.data.fold,
            split=config.data.split,
            fingerprint=data.fingerprint,
            synthetic=synthetic.is_set(listed.root),
            leaks=leaks,
        ),
        initial_weights=_initial_weights(setup.weights_file),
        environment=environment.describe([device.device_kind for device in setup.devices]),
        followed=followed,
        audio_per_window_s=_audio_per_window_s(setup),
    )


def _audio_per_window_s(setup: Setup) -> float | None:
    """Returns seconds of audio for each window, of all recordings; None if they aren't cut."""
    if not setup.config.data.window_s:
        return None
    survey = setup.survey
    durations_s = {
        survey.whole.recordings[index].name: max(info.duration_s, survey.duration_s)
        for index, info in survey.infos.items()
    }
    wholes = [each.whole for each in survey.dataset.recordings if each.whole in durations_s]
    return sum(durations_s[name] for name in set(wholes)) / len(wholes)


def _devices(data: Data) -> tuple[str, ...]:
    """Returns the devices of the training part, alphabetically."""
    found = {data.dataset.recordings[index].device for index in data.train.indices}
    return tuple(sorted(found - {""}))


def _initial_weights(file: Path | None) -> InitialWeights:
    if file is None:
        return InitialWeights("random", None, {})
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return InitialWeights(str(file), sha256, dict(weights.load(file).metadata))
