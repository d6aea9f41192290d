"""Sounds of the synthetic scenes at 48 kHz, as small pure functions."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

SAMPLE_RATE_HZ = 48_000

Sound = Float[np.ndarray, " sound"]
Rng = np.random.Generator


def render(
    settings: Mapping[str, Any], num_samples: int, of_location: Rng, of_recording: Rng
) -> Float[np.ndarray, "2 sample"]:
    """Mixes background, hum and events in a room.

    Args:
      settings: fields of `synthetic.Scene`.
      num_samples: length.
      of_location: random numbers that all recordings of a place share: its hum, room and voices.
      of_recording: random numbers of this recording alone.

    Returns:
      float32 in −1..1.
    """
    events = np.zeros((2, num_samples), np.float32)
    for name, (make, level_db) in EVENTS.items():
        pitch = np.exp(0.15 * of_location.standard_normal())
        count = of_recording.poisson(settings[name] * num_samples / SAMPLE_RATE_HZ / 60)
        for _ in range(count):
            gain = 10 ** ((level_db + 4 * of_recording.standard_normal()) / 20)
            place(events, gain * make(of_recording, pitch), of_recording)
    # Noise, room and events meet as spectra: one transform back, and echoes wrap around the end.
    spectra = scipy.fft.rfft(events, axis=1)
    spectra *= room(settings["reverb_s"], num_samples, of_location)
    spectra += background(settings, num_samples, of_location, of_recording)
    wave = scipy.fft.irfft(spectra, num_samples, axis=1)
    return np.tanh(10 ** (settings["level_db"] / 20) * wave).astype(np.float32)


def background(
    settings: Mapping[str, Any], num_samples: int, of_location: Rng, of_recording: Rng
) -> Complex[np.ndarray, "2 bin"]:
    """Spectrum of noise with a slope, a rumble and the lines of a hum, of root mean square 1."""
    hz = scipy.fft.rfftfreq(num_samples, 1 / SAMPLE_RATE_HZ).astype(np.float32)
    octave = np.log2(np.maximum(hz, 1))
    db = settings["tilt_db"] * np.maximum(octave - np.log2(100), 0)
    db += settings["rumble_db"] * (hz < 100) - 60 * (hz < 20)
    db += np.interp(octave, *_equaliser(of_location)).astype(np.float32)
    amplitude = 10 ** (db / 20)
    amplitude /= np.sqrt(np.mean(amplitude**2))
    line_gain = 10 ** (settings["hum_db"] / 20) * np.sqrt(len(hz))
    for harmonic in range(1, 9):
        centre_hz = settings["hum_hz"] * harmonic
        width_hz = 0.3 + 0.004 * centre_hz
        near = slice(*np.searchsorted(hz, (centre_hz - 4 * width_hz, centre_hz + 4 * width_hz)))
        line = np.exp(-0.5 * ((hz[near] - centre_hz) / width_hz) ** 2)
        strength = of_location.uniform(0.4, 1) / harmonic
        amplitude[near] += line_gain * strength * line / np.sqrt(np.sum(line**2))
    amplitude *= np.sqrt(num_samples / 2, dtype=np.float32)
    angle = np.pi / 4 * settings["width"]
    middle = np.float32(np.cos(angle)) * amplitude * _complex_noise(of_recording, len(hz))
    side = np.float32(np.sin(angle)) * amplitude * _complex_noise(of_recording, len(hz))
    return np.stack([middle + side, middle - side])


def _equaliser(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """The microphone and the place: ±1 dB at points an octave apart, as log2(Hz) and dB."""
    points = np.arange(4.0, 15.0)
    return points, rng.standard_normal(len(points))


def _complex_noise(rng: Rng, size: int) -> np.ndarray:
    return rng.standard_normal((size, 2), np.float32).view(np.complex64)[:, 0]


def place(mix: Float[np.ndarray, "2 sample"], sound: Sound, rng: Rng) -> None:
    """Adds a sound to a mix at a random time from a random side: one ear is later and softer."""
    start = int(rng.integers(-len(sound) // 2, mix.shape[1]))
    side = rng.uniform(-1, 1)
    for column, away in enumerate((side, -side)):
        first = start + round(0.0003 * SAMPLE_RATE_HZ * (1 + away))
        skip = max(0, -first)
        part = sound[skip : skip + max(0, mix.shape[1] - first - skip)]
        mix[column, first + skip : first + skip + len(part)] += part * 10 ** (-6 * (1 + away) / 40)


def room(decay_s: float, num_samples: int, rng: Rng) -> Complex[np.ndarray, "2 bin"]:
    """Transfer function of a room: the direct sound, and noise that decays by 60 dB in the time."""
    size = min(num_samples, round(decay_s * SAMPLE_RATE_HZ))
    decay = 10 ** (-3 * np.linspace(0, size / SAMPLE_RATE_HZ / decay_s, size, dtype=np.float32))
    tail = rng.standard_normal((2, size), np.float32) * decay
    response = np.zeros((2, num_samples), np.float32)
    response[:, :size] = 0.7 * tail / np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    response[:, 0] += 1
    return scipy.fft.rfft(response, axis=1)


# --- Events: (random numbers, pitch factor of the place) → a sound of root mean square about 1 ----


def _time_s(duration_s: float) -> Sound:
    return np.arange(round(duration_s * SAMPLE_RATE_HZ), dtype=np.float32) / np.float32(
        SAMPLE_RATE_HZ
    )


def _noise(rng: Rng, size: int, low_hz: float, high_hz: float) -> Sound:
    """Noise between two frequencies."""
    fast_size = scipy.fft.next_fast_len(size, real=True)
    hz = scipy.fft.rfftfreq(fast_size, 1 / SAMPLE_RATE_HZ) + 1
    band = 1 / np.sqrt((1 + (low_hz / hz) ** 4) * (1 + (hz / high_hz) ** 4))
    noise = scipy.fft.irfft(_complex_noise(rng, len(hz)) * band.astype(np.float32), fast_size)
    return noise[:size] / np.sqrt(np.mean(noise**2))


def voice(rng: Rng, pitch: float) -> Sound:
    """A phrase: pulses of a voice through two formants, in syllables."""
    time_s = _time_s(rng.choice([0.6, 0.8, 1.0, 1.2, 1.5]))  # whole factors for the FFT
    fundamental_hz = pitch * rng.choice([115.0, 205.0]) * (1 + 0.08 * np.sin(3 * time_s))
    turns = np.cumsum(fundamental_hz) / SAMPLE_RATE_HZ
    pulses = np.diff(np.floor(turns), prepend=0)
    spectrum = scipy.fft.rfft(pulses)
    hz = scipy.fft.rfftfreq(len(pulses), 1 / SAMPLE_RATE_HZ)
    formants = sum(
        gain / (1 + ((hz - centre) / width) ** 2)
        for centre, width, gain in (
            (rng.uniform(350, 750), 90, 1.0),
            (rng.uniform(1000, 2200), 150, 0.5),
            (2700, 250, 0.2),
        )
    )
    syllables = np.abs(np.sin(np.pi * rng.uniform(3, 5) * time_s)) * np.hanning(len(time_s))
    sound = scipy.fft.irfft(spectrum * formants, len(pulses)) * syllables
    return (sound / max(1e-9, np.sqrt(np.mean(sound**2)))).astype(np.float32)


def step(rng: Rng, pitch: float) -> Sound:
    """A few steps of one person."""
    gap = round(rng.uniform(0.4, 0.7) * SAMPLE_RATE_HZ)
    count = int(rng.integers(2, 5))
    time_s = _time_s(0.08)
    sound = np.zeros(gap * count + len(time_s), np.float32)
    low_hz = 250 * pitch * rng.uniform(0.7, 1.4)
    for index in range(count):
        burst = 4 * _noise(rng, len(time_s), low_hz, 12 * low_hz) * np.exp(-time_s / 0.012)
        sound[index * gap : index * gap + len(burst)] += burst
    return sound


def bird(rng: Rng, pitch: float) -> Sound:
    """A row of chirps."""
    time_s = _time_s(0.12)
    low_hz, sweep_hz = pitch * rng.uniform(2500, 5000), rng.uniform(-1500, 2500)
    phase = 2 * np.pi * (low_hz * time_s + sweep_hz * time_s**2 / 0.24)
    chirp = 2 * np.sin(phase) * np.hanning(len(time_s))
    return np.tile(np.pad(chirp, (0, len(chirp) // 2)), int(rng.integers(2, 7))).astype(np.float32)


def passing(rng: Rng, pitch: float) -> Sound:
    """A vehicle that comes and goes."""
    duration_s = rng.choice([2.4, 3.0, 4.0, 5.0])
    time_s = _time_s(duration_s)
    tyres = _noise(rng, len(time_s), 300 * pitch, 2500 * pitch)
    engine = np.sin(2 * np.pi * 75 * pitch * rng.uniform(0.7, 1.4) * time_s)
    distance = (time_s - duration_s / 2) * 8 / duration_s
    nearness = 1 / (1 + distance**2) - 1 / 17
    return (2 * nearness * (tyres + engine)).astype(np.float32)


def beep(rng: Rng, pitch: float) -> Sound:
    """Beeps of a machine."""
    time_s = _time_s(0.1)
    tone = 1.5 * np.sin(2 * np.pi * 1900 * pitch * time_s) * (np.hanning(len(time_s)) > 0.1)
    return np.tile(np.pad(tone, (0, len(tone))), int(rng.integers(1, 4))).astype(np.float32)


def chime(rng: Rng, pitch: float) -> Sound:
    """The notes before an announcement, and a voice that makes it."""
    time_s = _time_s(0.5)
    notes = [
        2 * np.sin(2 * np.pi * 520 * pitch * ratio * time_s) * np.exp(-time_s / 0.25)
        for ratio in rng.permutation([1.0, 1.25, 1.5])
    ]
    return np.concatenate([*notes, voice(rng, 1.0), voice(rng, 1.0)]).astype(np.float32)


def door(rng: Rng, pitch: float) -> Sound:
    """Air, then a thud."""
    time_s = _time_s(0.7)
    air = _noise(rng, len(time_s), 3000, 12000) * np.exp(-((time_s - 0.25) ** 2) / 0.02)
    thud = 4 * _noise(rng, len(time_s), 40, 240 * pitch) * np.exp(-np.abs(time_s - 0.5) / 0.03)
    return air + thud


def clatter(rng: Rng, pitch: float) -> Sound:
    """Two wheels over a rail joint, or two loose parts over a bump."""
    time_s = _time_s(0.3)
    knock = 4 * _noise(rng, len(time_s), 90 * pitch, 900 * pitch) * np.exp(-time_s / 0.03)
    gap = round(rng.uniform(0.1, 0.2) * SAMPLE_RATE_HZ)
    return np.pad(knock, (0, gap)) + np.pad(knock, (gap, 0))


# Events by the field of `synthetic.Scene` that counts them, with their level re background in dB.
EVENTS: Mapping[str, tuple[Callable[[Rng, float], Sound], float]] = {
    "voices": (voice, 4.0),
    "steps": (step, 4.0),
    "birds": (bird, 2.0),
    "passes": (passing, 8.0),
    "beeps": (beep, 0.0),
    "chimes": (chime, 5.0),
    "doors": (door, 6.0),
    "clatter": (clatter, 4.0),
}
