"""Mel amplitudes in float32 as part of a traced JAX program, for graphs that are exported.

Beside `melspectrogram`, which is faster and takes float64. Made of what every runtime has:
reshapes, slices and products of matrices. ONNX Runtime Web has no Fourier transform on WebGPU, and
the product with a whole Fourier matrix would take 24 times the operations of the two steps here
(J. W. Cooley, J. W. Tukey, Math. Comput. 19, 1965): with N = R·S samples x[S·a + b] and bins
X[k + R·m],

    X[k + R·m] = Σ_b (Σ_a x[S·a + b] W_R^(a·k)) W_N^(b·k) W_S^(b·m),    W_n = exp(−2πi / n)

Real samples need k up to R / 2 only, as X[N − j] is the conjugate of X[j]. Sums are short, and
rounding errors are those of white noise some 130 dB below the waveform.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from ascjax.audio import mel
from ascjax.audio.melfrontend import MelFrontEnd
from ascjax.audio.melspectrogram import padded_window


def mel_amplitude(
    wave: Float[Array, "batch sample"], front_end: MelFrontEnd
) -> Float[Array, "batch mel frame"]:
    """Returns the mel amplitudes of waveforms at the front end's rate, float32."""
    import jax.numpy as jnp

    rows, columns = _factors(front_end.fft_length)
    first, twiddle, second = _matrices(rows, columns)
    window = jnp.asarray(padded_window(front_end), jnp.float32)
    frames = _frames(wave, front_end) * window[None, None]
    frames = frames.reshape(*frames.shape[:2], rows, columns)
    real, imaginary = jnp.split(_product(jnp.asarray(first), frames), 2, axis=2)
    cosine, sine = (jnp.asarray(each)[None, None] for each in (twiddle.real, twiddle.imag))
    turned = [real * cosine - imaginary * sine, real * sine + imaginary * cosine]
    spectrum = _product(jnp.concatenate(turned, axis=-1), jnp.asarray(second))
    real, imaginary = jnp.split(spectrum, 2, axis=-1)
    amplitude = jnp.sqrt(real * real + imaginary * imaginary)
    flat = amplitude.reshape(*amplitude.shape[:2], -1)
    return _product(flat, jnp.asarray(_bank(front_end, rows, columns))).transpose(0, 2, 1)


def _frames(
    wave: Float[Array, "batch sample"], front_end: MelFrontEnd
) -> Float[Array, "batch frame sample_of_fft"]:
    """Cuts centred frames: consecutive stretches of a hop, side by side, are a frame or more."""
    import jax.numpy as jnp

    length, hop, num_samples = front_end.fft_length, front_end.hop_length, wave.shape[-1]
    num_frames, before = front_end.num_frames(num_samples), length // 2
    stretches = -(-length // hop)
    needed = (num_frames - 1 + stretches) * hop
    kept = min(num_samples, needed - before)
    padded = jnp.pad(wave[:, :kept], [(0, 0), (before, needed - before - kept)])
    hops = padded.reshape(-1, num_frames - 1 + stretches, hop)
    side_by_side = [hops[:, start : start + num_frames] for start in range(stretches)]
    return jnp.concatenate(side_by_side, axis=-1)[..., :length]


def _factors(length: int) -> tuple[int, int]:
    """Returns two factors of a length, the smaller first, as equal as can be."""
    rows = next(n for n in range(math.isqrt(length), 0, -1) if length % n == 0)
    return rows, length // rows


def _matrices(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the first step's matrix, the factors between, and the second step's matrix.

    Complex numbers are a real and an imaginary half: [2 (rows // 2 + 1), rows] real,
    [rows // 2 + 1, columns] complex, [2 columns, 2 columns] real.
    """
    half = np.arange(rows // 2 + 1)
    over_rows = _roots(rows, np.outer(half, np.arange(rows)))
    over_columns = _roots(columns, np.outer(np.arange(columns), np.arange(columns)))
    cosine, sine = over_columns.real, over_columns.imag
    return (
        np.concatenate([over_rows.real, over_rows.imag]).astype(np.float32),
        _roots(rows * columns, np.outer(half, np.arange(columns))).astype(np.complex64),
        np.block([[cosine, sine], [-sine, cosine]]).astype(np.float32),
    )


def _roots(length: int, exponents: np.ndarray) -> np.ndarray:
    return np.exp(-2j * np.pi * (exponents % length) / length)


def _bank(front_end: MelFrontEnd, rows: int, columns: int) -> Float[np.ndarray, "place mel"]:
    """Returns the mel bank for bins in the order in which the two steps leave them.

    Place (k, m) holds bin j = k + rows · m, or N − j of the same amplitude; of two places with the
    same bin the first counts.
    """
    bank = mel.bank(
        front_end.num_mels, front_end.sample_rate_hz, front_end.fft_length, front_end.mel_norm
    )
    index = np.arange(rows // 2 + 1)[:, None] + rows * np.arange(columns)
    bins = np.minimum(index, rows * columns - index).ravel()
    placed = np.zeros((bins.size, front_end.num_mels), np.float32)
    found, first = np.unique(bins, return_index=True)
    placed[first] = bank.T[found]
    return placed


def _product(a: Any, b: Any) -> Any:
    import jax.numpy as jnp

    return jnp.matmul(a, b, precision="highest")
