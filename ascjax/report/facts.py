"""How a run was made and what it cost, as pairs of name and value."""

from datetime import datetime
from pathlib import Path

from ascjax.report.text import size
from ascjax.runs import stored
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


def cost(info: RunInfo, results: Trained, *, epochs: int, model_file: Path) -> Facts:
    """Returns speed and size.

    Args:
      info, results: of the run.
      epochs: how many were trained; 0 if unknown.
      model_file: model.safetensors, which needn't be there.

    Raises:
      UserError: model.safetensors is damaged.
    """
    seconds = results.seconds
    of_epochs = f" for {counted(epochs, 'epoch')}" if epochs else ""
    return [
        *complexity(info, model_file),
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


def complexity(info: RunInfo, model_file: Path) -> Facts:
    """Returns what the network takes, whatever it runs on; arguments and errors as of `cost`."""
    model = info.model
    return [
        ("parameters", f"{model.parameters:,}"),
        *(_sizes(model_file) if model_file.exists() else []),
        ("computation", f"{model.flops_per_recording / 1e9:,.2f} GFLOP per {info.unit}"),
        (
            "multiply-accumulates",
            f"{model.macs_per_recording / 1e6:,.1f} million per {info.unit}, "
            f"{info.macs_per_second / 1e6:,.1f} million per second of audio",
        ),
        ("activations of a fragment", f"{size(model.peak_activation_bytes)} at most at one time"),
    ]


def _sizes(model_file: Path) -> Facts:
    """Returns the size of model.safetensors, and of its variables as they can be stored."""
    sizes = {name: size(num_bytes) for name, num_bytes in stored.sizes(model_file).items()}
    return [
        (
            "parameters, as stored",
            f"{sizes['float32']} in float32, {sizes['float16']} in float16, "
            f"{sizes['int8']} with int8 kernels",
        ),
        ("model.safetensors", size(model_file.stat().st_size)),
    ]
