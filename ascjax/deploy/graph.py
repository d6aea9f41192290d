"""A run's network from waveform to scores as one function that JAX traces, to be exported."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float

from ascjax.data.fragments import layout
from ascjax.models import variables
from ascjax.runs import novelty
from ascjax.runs.network import MODEL_FILE, network_of
from ascjax.runs.run import Run
from ascjax.scoring.calibration import temper
from ascjax.scoring.fusion import fuse_channels, fuse_fragments

Weights = Mapping[str, Any]
Outputs = dict[str, Array]

WAVEFORM = "waveform"
# Of an int8 weight: its scale, float32, has this after its name.
SCALE = ":scale"


def weights(run: Run) -> dict[str, np.ndarray]:
    """Returns the network's variables by ``/``-joined path, float32.

    Raises:
      UserError: model.safetensors is missing or damaged.
    """
    loaded = variables.load(run.path / MODEL_FILE, run.trained.model_sha256)
    return traverse_util.flatten_dict(loaded, sep="/")


def quantised(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns weights with the kernels in int8, each output channel with a scale of its own."""
    made: dict[str, np.ndarray] = {}
    for name, values in weights.items():
        if values.ndim < 2:
            made[name] = values
            continue
        largest = np.abs(values).max(axis=tuple(range(values.ndim - 1)), keepdims=True)
        scale = (np.maximum(largest, 1e-30) / 127).astype(np.float32)
        made[name], made[name + SCALE] = np.rint(values / scale).astype(np.int8), scale
    return made


def input_shape(run: Run) -> jax.ShapeDtypeStruct:
    """Returns the waveform's, [window, column, sample]: any number of windows and of columns."""
    window, column = jax.export.symbolic_shape("window, column")
    samples = round(run.info.duration_s * run.front_end.sample_rate_hz)
    return jax.ShapeDtypeStruct((window, column, samples), np.float32)


def function(run: Run) -> Callable[[Weights, Float[Array, "window column sample"]], Outputs]:
    """Returns the function of weights and waveform, in float32 whatever the run computed in.

    Its outputs: ``scores`` [window, scene], fused and calibrated; ``posteriors`` [window, channel,
    fragment, scene]; ``features`` [window, feature], the pooled feature map; ``novelty`` [window],
    above 1 for what is unlike all training recordings, 0 where the run can't tell.

    Raises:
      UserError: the front end can't be exported, or novelty.npz is damaged.
    """
    known = novelty.read(run.path)
    info, front_end, calibration = run.info, run.front_end, run.trained.calibration
    normalisation = [
        jnp.asarray(each, jnp.float32)
        for each in (info.normalisation.mean, info.normalisation.deviation)
    ]
    settings = dataclasses.replace(info.model, compute_dtype="float32")
    apply = network_of(settings, len(info.scenes), convolutions="xla")

    def of_waveform(weights: Weights, waveform: Float[Array, "window column sample"]) -> Outputs:
        channels = jnp.concatenate([_CHANNELS[name](waveform) for name in info.channels], axis=1)
        values = front_end.traced(channels.reshape(-1, waveform.shape[-1]))
        width, starts = layout(values.shape[-1], info.fragments, info.overlap)
        cut = [values[:, None, :, start : start + width] for start in starts]
        examples = jnp.concatenate(cut, axis=1).reshape(-1, front_end.num_mels, width, 1)
        shape = (-1, len(info.channels), info.fragments)
        posteriors, features, statistics = (
            each.reshape(*shape, each.shape[-1])
            for each in apply(restored(weights), *normalisation, examples)
        )
        by_channel = fuse_fragments(posteriors, info.fusion.fragments)
        scores = fuse_channels(by_channel, info.fusion.channels)
        if calibration is not None:
            scores = temper(scores, calibration.temperature)
        features, statistics = features.mean((1, 2)), statistics.mean((1, 2))
        novel = jnp.zeros_like(scores[:, 0])
        if known is not None:
            novel = novelty.novelty_of(features, statistics, known)
        return {
            "scores": scores,
            "posteriors": posteriors,
            "features": features,
            "novelty": novel,
        }

    return of_waveform


def restored(weights: Weights) -> Any:
    """Returns variables from weights, those of int8 times their scales."""
    flat = {
        name: values.astype(jnp.float32) * weights[name + SCALE]
        if name + SCALE in weights
        else values
        for name, values in weights.items()
        if not name.endswith(SCALE)
    }
    return traverse_util.unflatten_dict(flat, sep="/")


# As `audio.channels.CHANNELS`, for any number of columns.
_CHANNELS: dict[str, Callable[[Array], Array]] = {
    "left": lambda waveform: jax.lax.slice_in_dim(waveform, 0, 1, axis=1),
    # A start beyond the end is moved back: of a mono recording, its one column.
    "right": lambda waveform: jax.lax.dynamic_slice_in_dim(waveform, 1, 1, axis=1),
    "average": lambda waveform: waveform.mean(axis=1, keepdims=True),
}
