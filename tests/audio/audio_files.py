"""Small audio files for tests."""

import numpy as np
import soundfile

FORMATS = {
    "pcm16.wav": ("WAV", "PCM_16", 2**-15),
    "pcm24.wav": ("WAV", "PCM_24", 2**-23),
    "pcm32.wav": ("WAV", "PCM_32", 2**-24),
    "float.wav": ("WAV", "FLOAT", 0),
    "double.wav": ("WAV", "DOUBLE", 0),
    "extensible.wav": ("WAVEX", "PCM_24", 2**-23),
    "rf64.wav": ("RF64", "PCM_24", 2**-23),
    "pcm24.w64": ("W64", "PCM_24", 2**-23),
    "pcm16.aiff": ("AIFF", "PCM_16", 2**-15),
    "pcm16.caf": ("CAF", "PCM_16", 2**-15),
    "pcm16.au": ("AU", "PCM_16", 2**-15),
    "pcm24.flac": ("FLAC", "PCM_24", 2**-23),
    "vorbis.ogg": ("OGG", "VORBIS", 0.05),
    "opus.ogg": ("OGG", "OPUS", 0.1),
    "layer3.mp3": ("MP3", "MPEG_LAYER_III", 0.05),
}


def tones(num_samples: int = 48_000, num_columns: int = 2) -> np.ndarray:
    """float32 [column, sample]: a tone of its own for each column."""
    time = np.arange(num_samples) / 48_000
    hz = 220.0 * np.arange(1, num_columns + 1)[:, None]
    return (0.5 * np.sin(2 * np.pi * hz * time[None, :])).astype(np.float32)


def write(path, samples, kind="pcm24.wav", rate=48_000):
    container, subtype, _ = FORMATS[kind]
    soundfile.write(path, samples.T, rate, format=container, subtype=subtype)
    return path


def truncated(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path
