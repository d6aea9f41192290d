"""Waveform → log-mel: librosa as the reference, XLA as the fast one.

Both take the amplitude of each bin of a centred short-time Fourier transform, sum it into a Slaney
mel bank and take the natural logarithm over a floor (the paper's section 4.1).
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import scipy.fft
from jaxtyping import Array, Float

from ascjax.audio import mel
from ascjax.compute import host
from ascjax.errors import UserError, choose

# The mean of each window, a cosine of one period.
_WINDOWS = {"hann": 0.5, "hamming": 0.54}
_MEL_NORMS: Mapping[str, Any] = {"slaney": "slaney", "none": None}


@dataclass(frozen=True)
class FrontEnd:
    """Everything that shapes a log-mel.

    Attributes:
      sample_rate_hz: the waveform's rate.
      num_mels: mel bands, from 0 Hz to half the sample rate.
      window_size_s: length of a window; rounded to samples.
      hop_size_s: distance between windows; rounded to samples, at most a window.
      log_floor: amplitude that a band has at least. White noise of this deviation is about as loud
        in each band of the defaults.
      window: ``hann`` or ``hamming``, periodic.
      mel_norm: ``slaney`` (bands of equal area) or ``none`` (bands of equal height).
      min_fft_length: the FFT has the next fast length from the window or this on.

    Raises:
      UserError: on values that make no log-mel, naming the config key.
    """

    sample_rate_hz: int
    num_mels: int = 128
    window_size_s: float = 0.0464
    hop_size_s: float = 0.0232
    log_floor: float = 1e-5
    window: str = "hann"
    mel_norm: str = "slaney"
    min_fft_length: int = 0

    def __post_init__(self):
        _check(self)

    @property
    def window_length(self) -> int:
        """Samples in a window: 2,227 for the defaults at 48 kHz."""
        return round(self.window_size_s * self.sample_rate_hz)

    @property
    def hop_length(self) -> int:
        """Samples between the starts of windows: 1,114 for the defaults at 48 kHz."""
        return round(self.hop_size_s * self.sample_rate_hz)

    @property
    def fft_length(self) -> int:
        """Samples in an FFT, with prime factors up to 5 alone: 2,250 for the defaults at 48 kHz."""
        return scipy.fft.next_fast_len(max(self.window_length, self.min_fft_length), real=True)

    def num_frames(self, num_samples: int) -> int:
        """Returns the frames of a waveform: 431 for 10 s by default, as windows are centred."""
        padded = num_samples + 2 * (self.fft_length // 2)
        return 1 + (padded - self.fft_length) // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as JSON takes them; ``FrontEnd(**settings)`` restores them."""
        return dataclasses.asdict(self)


def log_mel_librosa(
    wave: Float[np.ndarray, "*batch sample"], front_end: FrontEnd
) -> Float[np.ndarray, "*batch mel frame"]:
    """Computes log-mels by librosa in float64: the reference.

    Args:
      wave: waveforms at the front end's sample rate, −1..1.
      front_end: settings.

    Returns:
      float32, at least ``log(front_end.log_floor)``.
    """
    summed = librosa.feature.melspectrogram(
        y=wave.astype(np.float64),
        sr=front_end.sample_rate_hz,
        n_fft=front_end.fft_length,
        hop_length=front_end.hop_length,
        win_length=front_end.window_length,
        window=front_end.window,
        center=True,
        pad_mode="constant",
        power=1.0,
        n_mels=front_end.num_mels,
        norm=_MEL_NORMS[front_end.mel_norm],
    )
    return np.log(np.maximum(summed, front_end.log_floor)).astype(np.float32)


def log_mel(
    wave: Float[Array | np.ndarray, "*batch sample"],
    front_end: FrontEnd,
    shares: Float[np.ndarray, "channel column"] | None = None,
) -> Float[np.ndarray, "*batch_or_channel mel frame"]:
    """Computes log-mels by XLA, compiled once for each shape, front end and number of threads.

    Call it outside of ``jit``: the transform runs in float64, which this switches on for itself, on
    the CPU wherever the network runs: not every accelerator has float64. In float32 its rounding,
    1e-7 of the loudest band, shows in the logarithm of quiet ones. XLA has one thread for a
    transform: a long waveform is shared among as many as there are cores, or as the environment's
    NPROC says, which XLA follows too.

    Args:
      wave: waveforms at the front end's sample rate, −1..1.
      front_end: settings.
      shares: of each column of ``wave`` [column, sample] in each channel (``wave.shares``). The
        transform is linear: three channels of two columns so take two transforms.

    Returns:
      float32, within 1e-4 of ``log_mel_librosa``: of each waveform, or of each channel if there are
      ``shares``.
    """
    wave = np.asarray(wave)
    num_frames = front_end.num_frames(wave.shape[-1])
    length, hop = front_end.fft_length, front_end.hop_length
    threads = max(1, min(_num_cores(), num_frames // _FRAMES_A_THREAD))
    # Of one length, and so compiled once; the last piece may end with frames that aren't wanted.
    count = max(1, -(-num_frames // threads))
    num_samples = (count - 1) * hop + length

    def piece(index: int) -> np.ndarray:
        start = index * count * hop - length // 2
        within = wave[..., max(0, start) : max(0, start + num_samples)]
        before = max(0, -start)
        outside = before, num_samples - before - within.shape[-1]
        samples = np.pad(within, [(0, 0)] * (wave.ndim - 1) + [outside])
        with jax.enable_x64(True), jax.default_device(host.cpu()):
            return np.asarray(_compiled()(samples, shares, front_end))

    pieces = map(piece, [0]) if threads == 1 else _pool().map(piece, range(threads))
    return np.concatenate(list(pieces), axis=-1)[..., :num_frames]


# A thread for fewer saves less than it takes.
_FRAMES_A_THREAD = 100


def _num_cores() -> int:
    """Returns NPROC, else the cores of this process."""
    told = os.environ.get("NPROC", "")
    if told.isdecimal():
        return int(told)
    # Not every system can bind a process to cores.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor()


# So few at a time that their spectra stay in a core's own cache, even if two threads share it; at
# most so many, a multiple of the former, take one product with the mel bank.
_FRAMES_AT_ONCE = 8
_FRAMES_A_GROUP = 72


# Threads of XLA's own, or of its library YNN, would share out no transform, only small products,
# and wait for each other.
_OPTIONS: Mapping[str, bool | str] = {
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_experimental_ynn_fusion_type": "",
}


@functools.cache
def _compiled() -> Callable:
    options = host.compiler_options(_OPTIONS)
    return jax.jit(_log_mel, static_argnames="front_end", compiler_options=options)


def _log_mel(
    samples: Array, shares: Array | None, front_end: FrontEnd
) -> Float[Array, "*batch_or_channel mel frame"]:
    """Returns the log-mels of whole windows: the first starts with the first sample."""
    *batch, num_samples = samples.shape
    length, hop = front_end.fft_length, front_end.hop_length
    samples = samples.reshape(-1, num_samples)
    window = jnp.asarray(_window(front_end))[None]
    bank = _mel_bank(front_end)

    def of_frame(start: Array) -> Float[Array, "row bin"]:
        frame = jax.lax.dynamic_slice_in_dim(samples, start, length, axis=1)
        spectrum = jnp.fft.rfft(frame.astype(jnp.float64) * window)
        real, imaginary = spectrum.real, spectrum.imag
        if shares is not None:
            real, imaginary = _mixed(shares, real), _mixed(shares, imaginary)
        return jnp.sqrt((real**2 + imaginary**2).astype(jnp.float32))

    def of_group(starts: Array) -> Float[Array, "frame row mel"]:
        amplitude = jax.lax.map(of_frame, starts, batch_size=_FRAMES_AT_ONCE)
        summed = [
            jnp.matmul(amplitude[..., first : first + len(weights)], weights, precision="highest")
            for first, weights in bank
        ]
        return jnp.log(jnp.maximum(jnp.concatenate(summed, axis=-1), front_end.log_floor))

    count = 1 + (num_samples - length) // hop
    groups = -(-count // _FRAMES_A_GROUP)
    size = -(-count // (groups * _FRAMES_AT_ONCE)) * _FRAMES_AT_ONCE
    # Whole groups, with the last frame again: another length would be compiled apart, and rounded
    # otherwise.
    frames = np.minimum(np.arange(groups * size), count - 1).reshape(groups, size)
    values = jax.lax.map(of_group, jnp.asarray(frames * hop))
    values = values.reshape(-1, *values.shape[2:])[:count].transpose(1, 2, 0)
    return values if shares is not None else values.reshape(*batch, *values.shape[1:])


def _mixed(shares: Array, part: Float[Array, "column bin"]) -> Float[Array, "channel bin"]:
    """Returns shares · part, as sums that XLA fuses with what is around them, not as a product."""
    return functools.reduce(jnp.add, [shares[:, i, None] * part[i][None] for i in range(len(part))])


@functools.cache
def _mel_bank(front_end: FrontEnd) -> list[tuple[int, np.ndarray]]:
    """Returns the bank in eight groups of bands, each as its first bin and weights [bin, mel].

    A band spans few bins; leaving out zeros so saves most of the products.
    """
    bank = mel.bank(
        front_end.num_mels, front_end.sample_rate_hz, front_end.fft_length, front_end.mel_norm
    )
    groups = []
    for bands in np.array_split(bank, min(8, front_end.num_mels)):
        used = np.flatnonzero(bands.any(axis=0))
        groups.append((int(used[0]), np.ascontiguousarray(bands[:, used[0] : used[-1] + 1].T)))
    return groups


@functools.cache
def _window(front_end: FrontEnd) -> Float[np.ndarray, " sample"]:
    """Returns the periodic window amid zeros."""
    length = front_end.window_length
    around = front_end.fft_length - length
    mean = _WINDOWS[front_end.window]
    window = mean + (1 - mean) * np.cos(np.linspace(-np.pi, np.pi, length + 1)[:-1])
    return np.pad(window, (around // 2, around - around // 2))


def _check(front_end: FrontEnd) -> None:
    """Raises on the first value that makes no log-mel."""
    for key in ("sample_rate_hz", "num_mels", "window_size_s", "hop_size_s", "log_floor"):
        value = getattr(front_end, key)
        if not 0 < value < math.inf:
            group = "data" if key == "sample_rate_hz" else "features"
            raise UserError(
                f"config.{group}.{key}: expected a finite number above 0, got {value!r}"
            )
    if front_end.min_fft_length < 0:
        raise UserError(
            "config.features.min_fft_length: expected at least 0 (the window's own), got "
            f"{front_end.min_fft_length}"
        )
    choose("config.features.window", front_end.window, _WINDOWS)
    choose("config.features.mel_norm", front_end.mel_norm, _MEL_NORMS)
    if front_end.window_length < 2:
        raise UserError(
            f"config.features.window_size_s: {front_end.window_size_s} s at "
            f"{front_end.sample_rate_hz:,} Hz is less than 2 samples; take a longer window"
        )
    if not 1 <= front_end.hop_length <= front_end.window_length:
        raise UserError(
            f"config.features.hop_size_s: expected from 1 sample to a window "
            f"({front_end.window_size_s} s), so that no sample is left out, "
            f"got {front_end.hop_size_s} s"
        )
    _check_bands(front_end)


def _check_bands(front_end: FrontEnd) -> None:
    """Raises if a mel band is so narrow that it holds no bin of the FFT."""
    num_bins = front_end.fft_length // 2 + 1
    edges_hz = mel.frequencies(front_end.num_mels + 2, front_end.sample_rate_hz / 2)
    bins_hz = np.arange(num_bins) * front_end.sample_rate_hz / front_end.fft_length
    first = np.searchsorted(bins_hz, edges_hz[:-2], side="right")
    empty = first >= np.searchsorted(bins_hz, edges_hz[2:], side="left")
    if empty.any():
        raise UserError(
            f"config.features.num_mels: {int(empty.sum())} of {front_end.num_mels} bands hold no "
            f"bin of an FFT of {front_end.fft_length:,} samples; take fewer or a longer window"
        )
