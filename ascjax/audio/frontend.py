"""Interface of a front end: waveform → array [mel, frame] for the network."""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from ascjax.errors import UserError


@dataclass(frozen=True)
class FrontEnd(ABC):
    """A callable on waveforms whose fields are everything that shapes its values.

    A subclass is a frozen dataclass with fields of type int, float or str. It sets ``name``,
    implements the abstract members and has its line in ``frontends.FRONT_ENDS``; extraction,
    training, prediction and run folders then take it as they take the others.

    Attributes:
      name: key in the registry, in configs and in run folders.
      sample_rate_hz: rate of the waveforms, in Hz.

    Raises:
      UserError: a field is out of range. The message begins with the field's name, so that a caller
        who knows where the value came from can prefix its path.
    """

    name: ClassVar[str]

    sample_rate_hz: int

    def __post_init__(self):
        self.require_positive("sample_rate_hz")

    def require_positive(self, *names: str) -> None:
        """Raises UserError unless each of the named fields is finite and above 0."""
        for name in names:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UserError(f"{name}: expected a finite number above 0, got {value!r}")

    @property
    @abstractmethod
    def num_mels(self) -> int:
        """Rows of the output."""

    @property
    @abstractmethod
    def hop_length(self) -> int:
        """Samples between the starts of successive frames."""

    @abstractmethod
    def num_frames(self, num_samples: int) -> int:
        """Returns the number of frames of a waveform of ``num_samples``."""

    @abstractmethod
    def compute(
        self,
        wave: Float[np.ndarray, "*batch sample"],
        shares: Float[np.ndarray, "channel column"] | None,
    ) -> Float[np.ndarray, "*batch_or_channel mel frame"]:
        """Returns float32 values; ``__call__`` has checked the input and checks the output."""

    def traced(self, wave: Float[Any, "batch sample"]) -> Float[Any, "batch mel frame"]:
        """Returns the values as part of a traced JAX program, in float32, for export.

        Raises:
          UserError: the front end has no such form.
        """
        raise UserError(f"front end {self.name}: has no form that can be exported (`traced`)")

    @abstractmethod
    def reference(
        self, wave: Float[np.ndarray, "*batch sample"]
    ) -> Float[np.ndarray, "*batch mel frame"]:
        """Returns the values by an independent implementation in float64, cast to float32.

        Slower than calling the front end; tests compare the two.
        """

    def __call__(
        self,
        wave: Float[Any, "*batch sample"],
        shares: Float[Any, "channel column"] | None = None,
    ) -> Float[np.ndarray, "*batch_or_channel mel frame"]:
        """Computes the features of waveforms.

        Args:
          wave: waveforms at ``sample_rate_hz``, nominally −1..1.
          shares: weight of each column of a recording in each channel (``wave.shares``), for
            ``wave`` [column, sample]. Front ends whose first step is linear mix the columns after
            it: three channels of a stereo recording take two Fourier transforms.

        Returns:
          float32, of each waveform, or of each channel if ``shares`` are given.

        Raises:
          UserError: ``wave`` is not an array of floats [*batch, sample], doesn't fit ``shares``, is
            not finite, or is so loud that the result is not finite.
        """
        wave = np.asarray(wave)
        if wave.ndim == 0 or not np.issubdtype(wave.dtype, np.floating):
            raise UserError(
                f"{self.name}: expected float samples from −1 to 1 [*batch, sample], got "
                f"{wave.dtype} of shape {wave.shape}; divide integer PCM by its full scale"
            )
        shares = None if shares is None else np.asarray(shares)
        if shares is not None and shares.shape[1:] != wave.shape[:-1]:
            raise UserError(
                f"{self.name}: expected one share for each column of a waveform [column, sample], "
                f"got shares of shape {shares.shape} for a waveform of shape {wave.shape}"
            )
        values = self.compute(wave, shares)
        if not np.isfinite(values).all():
            raise UserError(f"{self.name}: the result is not finite: {_extremes(wave)}")
        return values

    def to_dict(self) -> dict[str, Any]:
        """Returns the name and all fields, ready for JSON; ``frontends.from_dict`` inverts it."""
        return {"name": self.name, **dataclasses.asdict(self)}


def _extremes(wave: Float[np.ndarray, "*batch sample"]) -> str:
    num_bad = wave.size - np.count_nonzero(np.isfinite(wave))
    if num_bad:
        return f"{num_bad:,} of {wave.size:,} samples are NaN or infinite"
    return f"expected samples from −1 to 1, got up to ±{np.abs(wave).max():.3g}"
