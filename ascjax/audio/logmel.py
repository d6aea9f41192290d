"""Log-mel, the paper's front end: natural logarithm of mel amplitudes over a floor."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from ascjax.audio.melfrontend import MelFrontEnd


@dataclass(frozen=True)
class LogMel(MelFrontEnd):
    """Log-mel spectrogram (the paper's section 4.1).

    >>> import numpy as np
    >>> from ascjax.audio.logmel import LogMel
    >>> front_end = LogMel(sample_rate_hz=48_000)
    >>> wave = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)  # 1 s of A4
    >>> log_mel = front_end(wave)
    >>> log_mel.shape, log_mel.dtype  # [mel, frame]
    ((128, 44), dtype('float32'))
    >>> int(log_mel.mean(axis=1).argmax())  # the loudest band
    13

    Attributes, beside those of ``MelFrontEnd``:
      log_floor: smallest amplitude of a band, and so ``log(log_floor)`` the smallest value. White
        noise of this standard deviation has about this amplitude in each band of the defaults.
    """

    name: ClassVar[str] = "log_mel"

    log_floor: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        self.require_positive("log_floor")

    def compute(
        self,
        wave: Float[np.ndarray, "*batch sample"],
        shares: Float[np.ndarray, "channel column"] | None,
    ) -> Float[np.ndarray, "*batch_or_channel mel frame"]:
        """Returns log-mels by XLA, within 1e-4 of ``reference``."""
        from ascjax.audio.melspectrogram import mel_spectrogram

        return self.centred(mel_spectrogram(wave, self, shares, log_floor=self.log_floor))

    def traced(self, wave: Float[Any, "batch sample"]) -> Float[Any, "batch mel frame"]:
        """Returns log-mels as part of a traced JAX program, within 1e-2 of ``reference``."""
        import jax.numpy as jnp

        from ascjax.audio.traced import mel_amplitude

        return self.centred(jnp.log(jnp.maximum(mel_amplitude(wave, self), self.log_floor)))

    def reference(
        self, wave: Float[np.ndarray, "*batch sample"]
    ) -> Float[np.ndarray, "*batch mel frame"]:
        """Returns log-mels by librosa in float64."""
        amplitude = self.reference_amplitude(wave)
        return self.centred(np.log(np.maximum(amplitude, self.log_floor))).astype(np.float32)
