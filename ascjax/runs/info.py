"""run.json: the model of a run, its inputs, and how it came about."""

import math
from dataclasses import dataclass
from typing import Any

from ascjax.audio.channels import CHANNELS
from ascjax.runs.environment import Environment
from ascjax.scoring.fusion import Fusion
from ascjax.scoring.rates import Proportion
from ascjax.words import is_one_line

RUN_FORMAT = 3
# Of a recording that a network is trained on.
_MOST_S = 86_400
_MOST_FRAGMENTS = 10**6


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of each mel band over the training part."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.mean, *self.deviation))) or 0 in self.deviation:
            raise ValueError("expected finite means and deviations other than 0")
        if len(self.mean) != len(self.deviation):
            raise ValueError("expected as many means as deviations")


@dataclass(frozen=True)
class Model:
    """The network: arguments of `models.create_model`, and what it costs.

    Attributes:
      flops_per_recording: floating-point operations, a multiplication and an addition counted as
        two, of all fragments and channels of a recording, as XLA counts them; of a window where
        recordings are cut into windows (`RunInfo.unit`).
      macs_per_recording: multiply-accumulates of layers, likewise; see `models.complexity`.
      peak_activation_bytes: of one fragment.
    """

    trunk: str
    head: str
    head_width: int
    dropout: float
    compute_dtype: str
    planes: int
    parameters: int
    flops_per_recording: float
    macs_per_recording: int
    peak_activation_bytes: int

    def __post_init__(self) -> None:
        if self.planes not in (1, 3) or self.head_width < 1 or not 0 <= self.dropout < 1:
            raise ValueError("expected 1 or 3 planes, a head_width from 1 and a dropout in 0..1")
        if self.flops_per_recording <= 0:
            raise ValueError("expected flops_per_recording above 0")


@dataclass(frozen=True)
class Counts:
    """Recordings of each part."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class DataSource:
    """The data set of a run.

    Attributes:
      root, layout, fold, split: as it was read.
      fingerprint: SHA-256 of the recordings' names, scenes and parts.
      synthetic: whether it was synthesised here.
      leaks: what flatters the test part or contradicts itself, as ``data.on_leak`` found it.
    """

    root: str
    layout: str
    fold: int
    split: str
    fingerprint: str
    synthetic: bool
    leaks: tuple[str, ...] = ()


@dataclass(frozen=True)
class InitialWeights:
    """What training started from.

    Attributes:
      weights: ``random`` or the file's path.
      sha256: of that file, or None.
      header: what its header says: source, the source's SHA-256, the parity proof's figures.
    """

    weights: str
    sha256: str | None
    header: dict[str, str]


@dataclass(frozen=True)
class Followed:
    """The validated run that a run of the protocol ``all`` follows.

    Attributes:
      run: its folder's name; model_sha256: digest of its model.safetensors.
      recordings: that it was trained on.
      epochs: that were best on its validation part.
      accuracy: on its test part.
    """

    run: str
    model_sha256: str
    recordings: int
    epochs: int
    accuracy: Proportion


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """run.json: the model, its inputs, and how it came about.

    Attributes:
      fragments, overlap: how a log-mel is cut (`fragments.layout`).
      duration_s: seconds of a recording, or of a window of one, that the network was trained on.
      front_end: `FrontEnd.to_dict`.
      devices: what the training part was recorded with; empty if unknown.
      teacher: SHA-256 of the teacher's model.safetensors; empty without one.
      left_out: reason by name of recordings that could not be read.
      followed: whose length and calibration it has; None but under the protocol ``all``.
      audio_per_window_s: seconds of audio for each window, fewer than ``duration_s`` where windows
        overlap; None where recordings aren't cut into any.
    """

    format: int = RUN_FORMAT
    scenes: tuple[str, ...]
    channels: tuple[str, ...]
    fragments: int
    overlap: float
    duration_s: float
    front_end: dict[str, Any]
    normalisation: Normalisation
    model: Model
    fusion: Fusion
    protocol: str
    recordings: Counts
    devices: tuple[str, ...]
    teacher: str
    left_out: dict[str, str]
    data: DataSource
    initial_weights: InitialWeights
    environment: Environment
    followed: Followed | None = None
    audio_per_window_s: float | None = None

    @property
    def unit(self) -> str:
        """What the network is applied to at one time: ``recording``, or ``window`` of one."""
        return "recording" if self.audio_per_window_s is None else "window"

    @property
    def macs_per_second(self) -> float:
        """Multiply-accumulates per second of audio, with all windows that a test takes of it."""
        return self.model.macs_per_recording / (self.audio_per_window_s or self.duration_s)

    def __post_init__(self) -> None:
        if not self.scenes or len(set(self.scenes)) < len(self.scenes):
            raise ValueError("expected scenes of different names")
        if not all(map(is_one_line, self.scenes)):
            raise ValueError("expected a name on one line for each scene")
        if not self.channels or not set(self.channels) <= CHANNELS.keys():
            raise ValueError(f"expected channels of {', '.join(CHANNELS)}")
        if not 1 <= self.fragments <= _MOST_FRAGMENTS or not 0 <= self.overlap < 1:
            raise ValueError(f"expected 1 to {_MOST_FRAGMENTS:,} fragments, and an overlap in 0..1")
        if not 0 < self.duration_s <= _MOST_S:
            raise ValueError(f"expected a duration_s above 0 and at most {_MOST_S:,}")
        if self.audio_per_window_s is not None and not 0 < self.audio_per_window_s <= _MOST_S:
            raise ValueError(f"expected an audio_per_window_s above 0 and at most {_MOST_S:,}")
