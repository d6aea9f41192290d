"""A folder-per-scene set of short sounds that are easy to tell apart, and a config to match."""

from pathlib import Path

import numpy as np
import soundfile
import tiny_config

from ascjax.data.batches import Fragments

RATE_HZ = 16000
CONFIG = Path(__file__).with_name("tiny_config.py")
SCENES = {"bus": 200.0, "park": 1000.0, "tram": 4000.0}


def write_wave(path: Path, *, pitch_hz=440.0, seconds=2.0, seed=0, rate_hz=RATE_HZ, columns=2):
    """A tone in noise, of 24 bits."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = 0.2 * np.sin(2 * np.pi * pitch_hz * time_s)
    samples = tone[:, None] + 0.02 * rng.normal(size=(len(time_s), columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype="PCM_24")
    return path


def write_set(root: Path, *, per_scene=10, scenes=SCENES) -> Path:
    """Folds 1 and 2 from the first digit of the file name, as ESC-10 has them."""
    for s, (scene, pitch_hz) in enumerate(scenes.items()):
        for i in range(per_scene):
            path = root / scene / f"{1 + i % 2}-{i:03}-A.wav"
            write_wave(path, pitch_hz=pitch_hz * (1 + 0.02 * i), seed=100 * s + i)
    return root


def overrides(tmp_path: Path) -> dict:
    """Settings for a run in seconds; each also stands as a flag, with the config ``CONFIG``."""
    return {
        "data.store_dir": str(tmp_path / "store"),
        "data.num_workers": 1,
        "features.num_mels": 40,
        "fragments.count": 2,
        "model.trunk": "tiny",
        "model.head_width": 16,
        "train.batch_size": 8,
        "train.num_epochs": 2,
        "eval.batch_size": 8,
        "optimizer.learning_rate": 1e-3,
        "log_every_steps": 2,
    }


def config(tmp_path: Path, root: Path, **more):
    """The defaults with ``overrides``, ``root`` and ``more``."""
    made = tiny_config.get_config()
    made.update_from_flattened_dict({**overrides(tmp_path), "data.root": str(root), **more})
    return made


def make_part(num_recordings=16, seed=0):
    """Three scenes that differ in which bands are loud."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_recordings, dtype=np.int32) % 3
    log_mel = rng.normal(size=(num_recordings, 1, 32, 66)).astype(np.float32)
    for row, label in enumerate(labels):
        log_mel[row, :, 10 * label : 10 * label + 10] += 3.0
    return Fragments(log_mel, np.arange(num_recordings), labels, 2)
