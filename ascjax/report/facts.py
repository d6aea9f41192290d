"""How a run was made and what it cost, as pairs of name and value."""

from datetime import datetime

from ascjax.report.text import size
from ascjax.runs.folder import RunResults, Trained
from ascjax.runs.info import InitialWeights, RunInfo
from ascjax.words import counted, duration

Facts = list[tuple[str, str]]


def origin(info: RunInfo) -> Facts:
    """Returns what the run was made from, with what, where and when."""
    made, data, counts = info.environment, info.data, info.recordings
    return [
        ("started", f"{datetime.fromisoformat(made.started):%-d %B %Y, %H:%M %Z}"),
        ("source", made.git or "an installed package, no git checkout"),
        ("versions", ", ".join(f"{name} {version}" for name, version in made.versions.items())),
        ("hardware", made.hardware),
        ("data set", f"{data.root} (layout {data.layout}, fold {data.fold}, split {data.split})"),
        ("SHA-256 of names, scenes and parts", data.fingerprint),
        (
            "recordings",
            f"{counts.train:,} training, {counts.validation:,} validation, {counts.test:,} test",
        ),
        *_weights(info.initial_weights),
    ]


def _weights(initial: InitialWeights) -> Facts:
    """Returns the file that training began from, its hash, and what its header says."""
    if initial.sha256 is None:
        return [("began from", f"{initial.weights} weights")]
    header = [(f"weights: {name.replace('_', ' ')}", text) for name, text in initial.header.items()]
    return [("began from", initial.weights), ("SHA-256 of the weights", initial.sha256), *header]


def cost(info: RunInfo, results: Trained, *, epochs: int, model_bytes: int | None) -> Facts:
    """Returns speed and size.

    Args:
      info, results: of the run.
      epochs: how many were trained; 0 if unknown.
      model_bytes: size of model.safetensors, or None if it isn't there.
    """
    model, seconds = info.model, results.seconds
    of_epochs = f" for {counted(epochs, 'epoch')}" if epochs else ""
    return [
        ("parameters", f"{model.parameters:,}: {_sizes(model.parameters)}"),
        *([("model.safetensors", size(model_bytes))] if model_bytes is not None else []),
        ("computation", f"{model.flops_per_recording / 1e9:,.2f} GFLOP per recording"),
        (
            "multiply-accumulates",
            f"{model.macs_per_recording / 1e6:,.1f} million per recording, "
            f"{model.macs_per_recording / info.duration_s / 1e6:,.1f} million per second of audio",
        ),
        ("activations of a fragment", f"{size(model.peak_activation_bytes)} at most at one time"),
        ("training", duration(seconds.train) + of_epochs),
        *(
            [("test", f"{seconds.test:.1f} s for {counted(results.recordings, 'recording')}")]
            if isinstance(results, RunResults)
            else []
        ),
        *(
            (f"peak memory, {where}", f"{gigabytes:.2f} GB")
            for where, gigabytes in results.peak_memory_gb.items()
        ),
    ]


def _sizes(parameters: int) -> str:
    """Returns what parameters take in three precisions."""
    bits = {"float32": 4, "float16": 2, "int8": 1}
    return ", ".join(f"{size(parameters * count)} in {name}" for name, count in bits.items())
