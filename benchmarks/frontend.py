"""The front end: log-mels of 10 s × 3 channels, ours by XLA beside librosa and reading the file.

Run: python -m benchmarks.frontend [--quick] [--repeats=30] [--out=FILE.json]

librosa stands in float64, the reference that ours must equal within 1e-4, and in float32, as it
treats a float32 waveform by itself (its transform is in float64 all the same). In each round a side
takes recordings one after the other, as extraction does; the times are of one. Then the largest
differences from the reference, in natural-log units, on loud, quiet and silent material.
A worker of the feature store has one thread: for its pace run with NPROC=1 OMP_NUM_THREADS=1.
At least: 4 × librosa's own float32 on two cores. The aim: reading takes longer than the front end.
"""

import argparse
import itertools
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from ascjax import cli
from ascjax.audio import wave
from ascjax.audio.logmel import LogMel
from benchmarks import measure

CHANNELS = ("left", "right", "average")
FRONT_END = LogMel(sample_rate_hz=48_000)
RECORDINGS, QUICK_RECORDINGS = 16, 4  # a round; fewer files are taken again


def ours(columns: np.ndarray) -> np.ndarray:
    """Returns the log-mels of a file's three channels, as the feature store holds them."""
    shares = wave.shares(CHANNELS, len(columns))
    return FRONT_END(columns, shares)


def librosa_float64(columns: np.ndarray) -> np.ndarray:
    """Returns the reference."""
    return FRONT_END.reference(wave.to_channels(columns, CHANNELS))


def librosa_float32(columns: np.ndarray) -> np.ndarray:
    """Returns librosa's own, in the precision of the waveform."""
    mel = librosa.feature.melspectrogram(
        y=wave.to_channels(columns, CHANNELS), sr=FRONT_END.sample_rate_hz,
        n_fft=FRONT_END.fft_length, hop_length=FRONT_END.hop_length,
        win_length=FRONT_END.window_length, pad_mode="constant", power=1.0,
        n_mels=FRONT_END.num_mels,
    )  # fmt: skip
    return np.log(np.maximum(mel, FRONT_END.log_floor))


def flop(front_end: LogMel, num_samples: int) -> float:
    """Returns the floating-point operations of three channels' log-mels, counted by hand.

    2.5 N log2 N for an FFT of N real numbers, a product and an addition for each mel weight.
    """
    length = front_end.fft_length
    bank = librosa.filters.mel(sr=front_end.sample_rate_hz, n_fft=length, n_mels=front_end.num_mels)
    of_frame = 2.5 * length * math.log2(length) + 2 * np.count_nonzero(bank)
    return len(CHANNELS) * front_end.num_frames(num_samples) * of_frame


SIDES = {"ours": ours, "librosa float64": librosa_float64, "librosa float32": librosa_float32}


def speed(paths: Sequence[Path], repeats: int) -> list[measure.Row]:
    """Times each side, and reading the files, in turn: of one recording."""
    recordings = [wave.read(path)[0] for path in paths]

    def of_all(make: Callable[[Any], Any], given: Sequence[Any]) -> Callable[[], None]:
        def run() -> None:
            for each in given:
                make(each)

        return run

    sides = {name: of_all(make, recordings) for name, make in SIDES.items()}
    sides["reading the file"] = of_all(wave.read, paths)
    seconds = {
        name: values / len(paths) for name, values in measure.interleaved(sides, repeats).items()
    }
    work = flop(FRONT_END, recordings[0].shape[1])
    pace = {name: work / measure.median(seconds[name]) for name in SIDES}
    peak = measure.matmul_peak()
    return [
        {
            "side": name,
            "ms": measure.spread(1e3 * values),
            "times as long as ours": measure.spread(values / seconds["ours"]),
            "GFLOP": work / 1e9 if name in SIDES else "",
            "GFLOP/s": pace[name] / 1e9 if name in SIDES else "",
            "share of peak": pace[name] / peak if name in SIDES else "",
        }
        for name, values in seconds.items()
    ]


def materials(path: Path, seconds: float) -> dict[str, np.ndarray]:
    """Returns waveforms [sample] on which a transform's rounding shows, or doesn't."""
    rng = np.random.default_rng(0)
    count = round(seconds * FRONT_END.sample_rate_hz)
    time_s = np.arange(count) / FRONT_END.sample_rate_hz
    noise = rng.normal(size=count)
    spectrum = np.fft.rfft(noise)
    spectrum[len(spectrum) // 3 :] = 0
    burst = np.where(np.abs(time_s - seconds / 2) < 0.05, noise, 0)
    made = {
        "steady tone, full scale": np.sin(2 * np.pi * 1000 * time_s),
        "noise cut off at 8 kHz": 0.2 * np.fft.irfft(spectrum, count),
        "burst in digital silence": 0.2 * burst,
        "the last 9 bits of 24": np.round(150 * noise) * 2.0**-23,
        "digital silence": 0 * noise,
    }
    clip = {"the file": wave.read(path)[0][0, :count]}
    return clip | {name: samples.astype(np.float32) for name, samples in made.items()}


def differences(path: Path, seconds: float) -> list[measure.Row]:
    """Returns how far each side is from the reference."""
    rows: list[measure.Row] = []
    for name, samples in materials(path, seconds).items():
        made = {side: make(samples[None]) for side, make in SIDES.items()}
        away = {
            side: float(np.abs(values - made["librosa float64"]).max())
            for side, values in made.items()
        }
        rows.append({"material": name, **away})
    return rows


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    return measure.parser("frontend", __doc__, repeats=30).parse(argv)


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    with tempfile.TemporaryDirectory() as scratch:
        found = measure.clips(Path(scratch))
        count = QUICK_RECORDINGS if options.quick else RECORDINGS
        paths = list(itertools.islice(itertools.cycle(found), count))
        rows = speed(paths, 5 if options.quick else options.repeats)
        away = differences(paths[0], 2.0 if options.quick else 10.0)
    measure.report("frontend", options, {"speed": rows, "difference from librosa float64": away})


if __name__ == "__main__":
    cli.run(main, parse)
