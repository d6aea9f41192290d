"""PCEN: mel amplitudes under automatic gain control and root compression.

Y. Wang, P. Getreuer, T. Hughes, R. F. Lyon, R. A. Saurous, "Trainable frontend for robust and
far-field keyword spotting", ICASSP 2017.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from ascjax.audio.melfrontend import MelFrontEnd
from ascjax.errors import UserError

# The published gain, bias and eps are for samples in the range of 32-bit integers.
_FULL_SCALE = 2.0**31


@dataclass(frozen=True)
class Pcen(MelFrontEnd):
    """Per-channel energy normalisation of a mel spectrogram.

    With E the mel amplitudes of samples scaled to ±2³¹ and M their average over past frames,

        M[t] = (1 − s) M[t − 1] + s E[t]
        PCEN[t] = (E[t] / (eps + M[t])^gain + bias)^power − bias^power

    A steady level, such as a microphone's gain or a constant hum, is divided out; onsets stay.
    The defaults are the paper's and librosa's, for 25 ms windows every 10 ms. As in librosa, M
    starts at 1, next to nothing, so that values are high in the first ``time_constant_s``.

    >>> import numpy as np
    >>> from ascjax.audio.pcen import Pcen
    >>> front_end = Pcen(sample_rate_hz=16_000, num_mels=40)
    >>> noise = np.random.default_rng(0).normal(size=160_000)
    >>> loud, quiet = front_end(0.1 * noise), front_end(0.001 * noise)
    >>> bool(loud[:, 200:].mean() / quiet[:, 200:].mean() < 1.1)  # 40 dB apart
    True

    Attributes, beside those of ``MelFrontEnd``:
      gain: exponent of the gain control; 0: none, 1: the level is divided out entirely.
      bias: amplitude, relative to the average, below which compression is linear.
      power: exponent of the compression, above 0 and at most 1.
      time_constant_s: time constant of the average M, in seconds.
      eps: amplitude added to M, which bounds the gain in silence.
    """

    name: ClassVar[str] = "pcen"

    gain: float = 0.98
    bias: float = 2.0
    power: float = 0.5
    time_constant_s: float = 0.4
    eps: float = 1e-6

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("bias", "power", "time_constant_s", "eps")
        for name in ("gain", "power"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UserError(f"{name}: expected a number from 0 to 1, got {value!r}")

    @property
    def smoothing(self) -> float:
        """Weight s of the newest frame in the average, as librosa has it from the time constant.

        With T the time constant in frames, s = (√(1 + 4T²) − 1) / 2T²: 1/T for a large T, and 1,
        no averaging, for a small one.
        """
        frames = self.time_constant_s * self.sample_rate_hz / self.hop_length
        return 2 / (math.sqrt(1 + 4 * frames**2) + 1)

    def compute(
        self,
        wave: Float[np.ndarray, "*batch sample"],
        shares: Float[np.ndarray, "channel column"] | None,
    ) -> Float[np.ndarray, "*batch_or_channel mel frame"]:
        """Returns PCEN by XLA, within 1e-4 of ``reference``, relative."""
        import jax

        from ascjax.audio.melspectrogram import mel_spectrogram
        from ascjax.compute import host

        amplitude = mel_spectrogram(wave, self, shares)
        with jax.default_device(host.cpu()):
            return self.centred(np.asarray(_compiled()(amplitude, self)))

    def traced(self, wave: Float[Any, "batch sample"]) -> Float[Any, "batch mel frame"]:
        """Returns PCEN as part of a traced JAX program; the average is a product with a matrix."""
        import jax.numpy as jnp

        from ascjax.audio.traced import mel_amplitude

        energy = mel_amplitude(wave, self) * _FULL_SCALE
        s, frame = self.smoothing, np.arange(energy.shape[-1])
        age = frame[None, :] - frame[:, None]  # [past, now]
        weights = np.where(age >= 0, s * (1 - s) ** np.maximum(age, 0), 0)
        start = (1 - s) ** (frame + 1.0)  # what is left of the initial 1
        means = jnp.matmul(energy, jnp.asarray(weights, jnp.float32), precision="highest")
        means = means + jnp.asarray(start, jnp.float32)[None, None]
        relative = energy * (self.eps + means) ** -self.gain / self.bias
        values = (1 + relative) ** self.power * self.bias**self.power - self.bias**self.power
        return self.centred(values)

    def reference(
        self, wave: Float[np.ndarray, "*batch sample"]
    ) -> Float[np.ndarray, "*batch mel frame"]:
        """Returns PCEN by librosa in float64."""
        import librosa

        normalised = librosa.pcen(
            self.reference_amplitude(wave) * _FULL_SCALE,
            sr=self.sample_rate_hz,
            hop_length=self.hop_length,
            gain=self.gain,
            bias=self.bias,
            power=self.power,
            time_constant=self.time_constant_s,
            eps=self.eps,
        )
        return self.centred(normalised).astype(np.float32)


@functools.cache
def _compiled() -> Callable:
    import jax

    return jax.jit(_pcen, static_argnames="front_end")


def _pcen(
    amplitude: Float[Any, "*batch mel frame"], front_end: Pcen
) -> Float[Any, "*batch mel frame"]:
    """Returns the PCEN of mel amplitudes of a waveform in −1..1."""
    import jax
    import jax.numpy as jnp

    energy = amplitude * _FULL_SCALE
    s = front_end.smoothing

    def average(previous: Any, now: Any) -> tuple[Any, Any]:
        mean = (1 - s) * previous + s * now
        return mean, mean

    # librosa's initial state: an average of 1, for lack of frames before the first.
    first = jnp.ones_like(energy[..., 0])
    _, means = jax.lax.scan(average, first, jnp.moveaxis(energy, -1, 0))
    means = jnp.moveaxis(means, 0, -1)
    # b^p (exp(p log(1 + x / b)) − 1) is (x + b)^p − b^p without cancellation at a small x.
    relative = energy * (front_end.eps + means) ** -front_end.gain / front_end.bias
    return front_end.bias**front_end.power * jnp.expm1(front_end.power * jnp.log1p(relative))
