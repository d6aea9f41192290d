"""Mel spectrograms of amplitudes by XLA, on the CPU, in float64 up to the amplitude.

How 10 s of stereo at 48 kHz become three channels of 431 frames on two cores, at the defaults::

    threads   XLA gives a Fourier transform one thread, so the frames are split in two pieces of
              216: samples −1,125 to 240,634 and 239,499 to 481,258, which overlap by 1,136, a
              window less a hop. Where there are no samples, zeros. The last piece's 216th frame
              is dropped: pieces of one length share one compiled program.
    groups    A piece is 3 groups of 72 frames, each multiplied once with the mel bank.
    chunks    A group is 9 chunks of 8 frames. Window, transform, mixing of the columns and
              amplitude run chunk by chunk: 2 columns × 8 frames × 1,126 bins of 16 bytes are
              288 kB, which stay in a core's L2 cache, where the whole piece's 7.8 MB would not.
"""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ascjax.audio import isolated, mel
from ascjax.audio.melfrontend import WINDOWS, MelFrontEnd
from ascjax.compute import host

# Below this many frames, starting a thread costs more than it saves.
_MIN_FRAMES_PER_THREAD = 100
# 8 frames fit L2, even if two threads share it; 72 share one matmul. A multiple of each other.
_CHUNK_FRAMES = 8
_GROUP_FRAMES = 72

# XLA's own threads, and those of its library YNN, would split only the small matmuls and wait for
# each other.
_COMPILER_OPTIONS: Mapping[str, bool | str] = {
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_experimental_ynn_fusion_type": "",
}


def mel_spectrogram(
    wave: Float[np.ndarray, "*batch sample"],
    front_end: MelFrontEnd,
    shares: Float[np.ndarray, "channel column"] | None = None,
    log_floor: float | None = None,
) -> Float[np.ndarray, "*batch_or_channel mel frame"]:
    """Computes mel amplitudes or their logarithms.

    Compiled once for each shape, front end and piece length; not for use inside ``jit``. The
    transform needs float64: in float32 its rounding errors, 1e-7 of the loudest bin, show in the
    logarithm of quiet bands. Not every accelerator has float64, so this runs on the CPU, with
    float64 enabled for itself alone.

    Args:
      wave: waveforms at the front end's sample rate.
      front_end: windows, FFT and mel bands.
      shares: weight of each column of ``wave`` [column, sample] in each channel. The transform is
        linear, so spectra are mixed instead of waveforms.
      log_floor: amplitude below which bands are raised to it before the natural logarithm is
        taken, group by group while they are in cache; None: no logarithm.

    Returns:
      float32, of each waveform, or of each channel if ``shares`` are given.
    """
    num_frames = front_end.num_frames(wave.shape[-1])
    num_threads = max(1, min(isolated.num_cores(), num_frames // _MIN_FRAMES_PER_THREAD))
    piece_frames = max(1, -(-num_frames // num_threads))

    def compute(index: int) -> np.ndarray:
        samples = _piece(wave, index, piece_frames, front_end)
        with jax.enable_x64(True), jax.default_device(host.cpu()):
            return np.asarray(_compiled()(samples, shares, front_end, log_floor))

    pieces = map(compute, [0]) if num_threads == 1 else _pool().map(compute, range(num_threads))
    return np.concatenate(list(pieces), axis=-1)[..., :num_frames]


def _piece(
    wave: Float[np.ndarray, "*batch sample"], index: int, num_frames: int, front_end: MelFrontEnd
) -> Float[np.ndarray, "*batch piece_sample"]:
    """Returns the samples under the ``index``-th ``num_frames`` frames, zeros outside the wave."""
    length, hop = front_end.fft_length, front_end.hop_length
    start = index * num_frames * hop - length // 2  # the first frame is centred on sample 0
    num_samples = (num_frames - 1) * hop + length
    inside = wave[..., max(0, start) : max(0, start + num_samples)]
    before = max(0, -start)
    after = num_samples - before - inside.shape[-1]
    return np.pad(inside, [(0, 0)] * (wave.ndim - 1) + [(before, after)])


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor()


@functools.cache
def _compiled() -> Callable:
    options = host.compiler_options(_COMPILER_OPTIONS)
    static = ("front_end", "log_floor")
    return jax.jit(_mel_spectrogram, static_argnames=static, compiler_options=options)


def _mel_spectrogram(
    samples: Array, shares: Array | None, front_end: MelFrontEnd, log_floor: float | None
) -> Float[Array, "*batch_or_channel mel frame"]:
    """Returns the mel spectrogram of a piece, whose first frame starts with its first sample."""
    *batch, num_samples = samples.shape
    length, hop = front_end.fft_length, front_end.hop_length
    samples = samples.reshape(-1, num_samples)
    window = jnp.asarray(padded_window(front_end))[None]
    bank = _mel_bank(front_end)

    def amplitude(start: Array) -> Float[Array, "row bin"]:
        frame = jax.lax.dynamic_slice_in_dim(samples, start, length, axis=1)
        spectrum = jnp.fft.rfft(frame.astype(jnp.float64) * window)
        real, imaginary = spectrum.real, spectrum.imag
        if shares is not None:
            real, imaginary = _mix(shares, real), _mix(shares, imaginary)
        # The root before the cast: a power overflows float32 from amplitudes of 2e19 on.
        return jnp.sqrt(real**2 + imaginary**2).astype(jnp.float32)

    def mel_group(starts: Array) -> Float[Array, "frame row mel"]:
        amplitudes = jax.lax.map(amplitude, starts, batch_size=_CHUNK_FRAMES)
        bands = [
            jnp.matmul(amplitudes[..., first : first + len(weights)], weights, precision="highest")
            for first, weights in bank
        ]
        values = jnp.concatenate(bands, axis=-1)
        return values if log_floor is None else jnp.log(jnp.maximum(values, log_floor))

    num_frames = 1 + (num_samples - length) // hop
    values = jax.lax.map(mel_group, jnp.asarray(_groups(num_frames) * hop))
    values = values.reshape(-1, *values.shape[2:])[:num_frames].transpose(1, 2, 0)
    return values if shares is not None else values.reshape(*batch, *values.shape[1:])


def _groups(num_frames: int) -> np.ndarray:
    """Returns frame numbers [group, frame] in groups of equal size, whole chunks each.

    The last frame is repeated to fill the last group: a remainder would be a second program,
    rounded differently. 431 frames are 6 groups of 72 with one repeated.
    """
    num_groups = -(-num_frames // _GROUP_FRAMES)
    size = -(-num_frames // (num_groups * _CHUNK_FRAMES)) * _CHUNK_FRAMES
    return np.minimum(np.arange(num_groups * size), num_frames - 1).reshape(num_groups, size)


def _mix(shares: Array, part: Float[Array, "column bin"]) -> Float[Array, "channel bin"]:
    """Returns shares · part as sums, which XLA fuses with their surroundings, unlike a matmul."""
    return functools.reduce(jnp.add, [shares[:, i, None] * part[i][None] for i in range(len(part))])


@functools.cache
def _mel_bank(front_end: MelFrontEnd) -> list[tuple[int, np.ndarray]]:
    """Returns the bank as eight blocks of bands: (first bin, weights [bin, mel]).

    A band spans few bins; the blocks leave out most of the zeros and so of the products.
    """
    bank = mel.bank(
        front_end.num_mels, front_end.sample_rate_hz, front_end.fft_length, front_end.mel_norm
    )
    blocks = []
    for bands in np.array_split(bank, min(8, front_end.num_mels)):
        used = np.flatnonzero(bands.any(axis=0))
        blocks.append((int(used[0]), np.ascontiguousarray(bands[:, used[0] : used[-1] + 1].T)))
    return blocks


@functools.cache
def padded_window(front_end: MelFrontEnd) -> Float[np.ndarray, " sample"]:
    """Returns the periodic window, centred in zeros up to the length of the FFT."""
    length = front_end.window_length
    padding = front_end.fft_length - length
    mean = WINDOWS[front_end.window]
    window = mean + (1 - mean) * np.cos(np.linspace(-np.pi, np.pi, length + 1)[:-1])
    return np.pad(window, (padding // 2, padding - padding // 2))
