"""Short synthesised sounds to try a classifier with, like some of ESC-10's."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from ascjax.data import synthetic
from ascjax.data.sounds import SAMPLE_RATE_HZ

_DURATION_S = 5
_NUM_SAMPLES = _DURATION_S * SAMPLE_RATE_HZ
Sound = Float[np.ndarray, " sample"]


def sounds(scenes: tuple[str, ...]) -> dict[str, Float[np.ndarray, "_ sample"]]:
    """Returns sounds by name, float32 [column, sample] in −1..1, 48 kHz, the same at each call.

    Args:
      scenes: that a network knows. Those of the synthetic set are synthesised as there; of a
        network that knows none of them, short sounds come instead.
    """
    known = [scene for scene in synthetic.SCENES if scene in scenes]
    if known:
        # Location and segment are none of a set's own, so that no network was trained on them.
        return {
            scene: synthetic.synthesise(scene, 10**6, 10**6, 2.0 * _DURATION_S, 0)
            for scene in known
        }
    made = {name: make(np.random.default_rng(0)) for name, make in _SHORT.items()}
    return {name: np.clip(sound, -1, 1).astype(np.float32)[None] for name, sound in made.items()}


def _bark(rng: np.random.Generator) -> Sound:
    """Four barks of a dog: a falling pitch with its harmonics, half noise."""
    time_s = np.arange(round(0.18 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    pitch_hz = 250 + 500 * np.exp(-(((time_s - 0.05) / 0.15) ** 2))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    voice = sum(np.sin(k * phase) / k**0.7 for k in range(1, 12))
    sound = 0.001 * rng.standard_normal(_NUM_SAMPLES)
    for start_s in (0.3, 0.75, 2.2, 2.7):
        bark = (voice + 0.6 * rng.standard_normal(len(time_s))) * np.hanning(len(time_s))
        _add(sound, start_s, 0.2 * bark)
    return sound


def _clock(rng: np.random.Generator) -> Sound:
    """A clock that ticks and tocks."""
    sound = 0.0005 * rng.standard_normal(_NUM_SAMPLES)
    index = np.arange(2_400)
    for tick in range(10):
        tone = np.sin(2 * np.pi * (3_200, 2_600)[tick % 2] * index / SAMPLE_RATE_HZ)
        click = (0.5 * tone + 0.2 * rng.standard_normal(len(index))) * np.exp(-index / 150)
        _add(sound, 0.2 + 0.5 * tick, click)
    return sound


def _waves(rng: np.random.Generator) -> Sound:
    """A wave that rolls in and out."""
    swell = 0.05 + 0.3 * np.sin(np.pi * np.arange(_NUM_SAMPLES) / _NUM_SAMPLES) ** 4
    return _noise(rng, 80, 4_000) * swell


def _chainsaw(rng: np.random.Generator) -> Sound:
    """A two-stroke engine that revs up and down."""
    time_s = np.arange(_NUM_SAMPLES) / SAMPLE_RATE_HZ
    turns = np.cumsum(95 + 25 * np.sin(2 * np.pi * 0.4 * time_s)) / SAMPLE_RATE_HZ
    return 0.3 * (2 * (turns % 1) - 1) + 0.1 * _noise(rng, 1_000, 8_000)


def _fire(rng: np.random.Generator) -> Sound:
    """Crackles over a soft rumble."""
    sound = 0.01 * _noise(rng, 100, 2_000)
    for start_s in rng.uniform(0, _DURATION_S, size=140):
        size = int(rng.integers(60, 900))
        crackle = np.exp(-6 * np.arange(size) / size) * rng.standard_normal(size)
        _add(sound, start_s, rng.exponential(0.12) * crackle)
    return sound


_SHORT: Mapping[str, Callable[[np.random.Generator], Sound]] = {
    "dog bark": _bark,
    "clock tick": _clock,
    "sea waves": _waves,
    "chainsaw": _chainsaw,
    "fire crackling": _fire,
    "silence": lambda _: np.zeros(_NUM_SAMPLES),
}


def _add(sound: Sound, start_s: float, part: Float[np.ndarray, " part"]) -> None:
    start = round(start_s * SAMPLE_RATE_HZ)
    end = min(len(sound), start + len(part))
    sound[start:end] += part[: end - start]


def _noise(rng: np.random.Generator, low_hz: float, high_hz: float) -> Sound:
    """Noise between two frequencies, of root mean square 1."""
    hz = np.fft.rfftfreq(_NUM_SAMPLES, 1 / SAMPLE_RATE_HZ)
    band = 1 / np.sqrt((1 + (low_hz / (hz + 1)) ** 4) * (1 + (hz / high_hz) ** 4))
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(_NUM_SAMPLES)) * band, _NUM_SAMPLES)
    return noise / np.sqrt(np.mean(noise**2))
