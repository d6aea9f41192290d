"""Checks of a config before any work is done for it: structure, names, ranges."""

from collections.abc import Iterable

from ml_collections import ConfigDict

from ascjax import models
from ascjax.audio import frontends, wave
from ascjax.compute import convolution
from ascjax.config import check_structure, flatten
from ascjax.data import dataset, leaks
from ascjax.errors import UserError, choose
from ascjax.models import weights
from ascjax.scoring.fusion import METHODS
from ascjax.setup.keys import keyed
from ascjax.training import feed, optimizer

PROTOCOLS = ("paper", "validated", "all")
ON_BAD_FILE = ("stop", "skip")
# Lowest and highest value of numbers.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 2),
    "num_devices": (0, 2**16),
    "data.fold": (0, 10**6),
    "data.sample_rate_hz": (0, 10**6),
    "data.duration_s": (0, 86400),
    "data.min_duration_share": (0, 1),
    "data.validation_seed": (0, 2**31 - 2),
    "data.num_workers": (0, 1024),
    "data.window_s": (0, 86400),
    "data.window_hop_s": (0, 86400),
    "fragments.count": (1, 10**6),
    "fragments.overlap": (0, 0.99),
    "model.head_width": (1, 10**6),
    "model.dropout": (0, 0.99),
    "init.trunk_learning_rate_factor": (0, 1e6),
    "train.batch_size": (1, 10**6),
    "train.num_epochs": (1, 10**6),
    "train.label_smoothing": (0, 0.99),
    "train.teacher_weight": (0, 1),
    "train.teacher_temperature": (0.1, 100),
    "optimizer.learning_rate": (0, 1e9),
    "optimizer.warmup_epochs": (0, 10**6),
    "optimizer.weight_decay": (0, 1e6),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.clip_norm": (0, 1e9),
    "augment.max_shift": (0, 1),
    "augment.mixup_alpha": (0, 1e3),
    "augment.mix_style_alpha": (0, 1e3),
    "augment.mix_style_share": (0, 1),
    "augment.num_mel_masks": (0, 100),
    "augment.max_mel_mask": (0, 10**4),
    "augment.num_frame_masks": (0, 100),
    "augment.max_frame_mask": (0, 10**4),
    "eval.batch_size": (1, 10**6),
    "checkpoint.keep": (1, 10**6),
    "checkpoint.every_epochs": (1, 10**6),
    "log_every_steps": (1, 10**9),
    "synthetic.num_recordings": (20, 10**6),
    "synthetic.duration_s": (0.5, 600),
    "synthetic.seed": (0, 2**31 - 2),
}
# Of windows, and from one to the next: durations are known to the hundredth.
_SHORTEST_S = 0.01


def _choices() -> dict[str, Iterable[str]]:
    """Returns the names that a leaf may have, by its key; registries may grow at run time."""
    return {
        "protocol": PROTOCOLS,
        "data.layout": ("auto", *dataset.LAYOUTS, "synthetic"),
        "data.on_bad_file": ON_BAD_FILE,
        "data.on_leak": leaks.ON_LEAK,
        "data.resident": feed.MEMORY_SHARES,
        "features.name": frontends.FRONT_ENDS,
        "model.trunk": models.TRUNKS,
        "model.head": models.HEADS,
        "model.compute_dtype": models.COMPUTE_DTYPES,
        "model.convolutions": convolution.IMPLEMENTATIONS,
        "fusion.fragments": METHODS,
        "fusion.channels": METHODS,
        "init.input_channel": weights.INPUT_CHANNEL,
        "optimizer.name": optimizer.OPTIMIZERS,
        "optimizer.schedule": optimizer.SCHEDULES,
    }


def check(config: ConfigDict) -> None:
    """Checks the leaves, names and numbers of a config.

    Raises:
      UserError: a leaf is missing or unknown, a name is no choice (the message lists the choices),
        or a number is out of range.
    """
    check_structure(config)
    leaves = flatten(config.to_dict())
    for key, (low, high) in RANGES.items():
        if not low <= leaves[key] <= high:
            raise UserError(f"config.{key}: expected {low:g} to {high:g}, got {leaves[key]}")
    for key in ("data.window_s", "data.window_hop_s"):
        if 0 < leaves[key] < _SHORTEST_S:
            raise UserError(
                f"config.{key}: expected 0 or at least {_SHORTEST_S} seconds, got {leaves[key]}"
            )
    if not 0 < leaves["data.validation_fraction"] < 1:
        raise UserError(
            "config.data.validation_fraction: expected above 0 and below 1, got "
            f"{leaves['data.validation_fraction']}"
        )
    for key, choices in _choices().items():
        choose(f"config.{key}", leaves[key], dict.fromkeys(choices))
    if leaves["optimizer.warmup_epochs"] > leaves["train.num_epochs"]:
        raise UserError(
            "config.optimizer.warmup_epochs: expected at most config.train.num_epochs, "
            f"{leaves['train.num_epochs']}, got {leaves['optimizer.warmup_epochs']}"
        )
    if leaves["data.window_hop_s"] and not leaves["data.window_s"]:
        raise UserError(
            "config.data.window_hop_s is the distance of windows: expected config.data.window_s, "
            "their length, above 0"
        )
    if (leaves["protocol"] == "all") != bool(leaves["train.from_run"]):
        raise UserError(
            f"config.train.from_run is {leaves['train.from_run']!r} and config.protocol is "
            f"{leaves['protocol']!r}: expected the folder of a run of the protocol validated, to "
            "take its length and calibration, with the protocol all, and none with another"
        )
    if leaves["data.unknown"] and leaves["protocol"] == "paper":
        raise UserError(
            "config.data.unknown: its threshold is set by recordings that weren't trained on; "
            "expected config.protocol validated, or all after such a run, got paper"
        )
    channels = leaves["channels"]
    for channel in channels:
        choose("config.channels", str(channel), dict.fromkeys(wave.CHANNELS))
    if not channels or len(set(channels)) < len(channels):
        raise UserError(
            f"config.channels: expected one or more of {', '.join(wave.CHANNELS)}, each once, got "
            f"{channels}"
        )
    with keyed("init.freeze"):
        models.num_frozen(models.TRUNKS[leaves["model.trunk"]], leaves["init.freeze"])
