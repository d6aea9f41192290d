"""Writes run folders with made-up numbers, in the shapes that real runs have."""

import json
from pathlib import Path

import numpy as np

from ascjax.scoring import metrics

SCENES = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall",
    "street_pedestrian", "street_traffic", "tram",
)  # fmt: skip
CITIES = ("barcelona", "helsinki", "london", "paris", "stockholm", "vienna")


def write_fake_run(
    folder: Path,
    *,
    recordings: int = 60,
    scenes: tuple[str, ...] = SCENES,
    channels: tuple[str, ...] = ("left", "right", "average"),
    fragments: int = 6,
    epochs: int = 5,
    cities: tuple[str, ...] = CITIES,
    synthetic: bool = False,
    seed: int = 0,
) -> dict:
    """Fills ``folder`` and returns the results."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    label = (np.arange(recordings) % len(scenes)).astype(np.int32)
    # Errors shared by a recording's fragments and channels, and errors of each one alone.
    logits = rng.normal(size=(recordings, 1, 1, len(scenes)), scale=1.3)
    logits = logits + rng.normal(
        size=(recordings, len(channels), fragments, len(scenes)), scale=1.2
    )
    logits += 3.2 * np.eye(len(scenes))[label][:, None, None]
    posteriors = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    city = np.array(
        [cities[i] if cities else "" for i in rng.integers(max(len(cities), 1), size=recordings)]
    )
    arrays = {
        "posteriors": posteriors.astype(np.float32),
        "label": label,
        "recording": np.array([f"{scenes[k]}-{i:04d}.wav" for i, k in enumerate(label)]),
        "location": np.array([f"{c}-{i % 7}" for i, c in enumerate(city)]),
        "city": city,
        "scenes": np.array(scenes),
        "channels": np.array(channels),
    }
    np.savez(folder / "posteriors.npz", **arrays)
    results = metrics.summarise(
        arrays["posteriors"],
        label,
        names=arrays["recording"],
        scenes=scenes,
        channels=channels,
        cities=city,
    )
    results |= {"part": "test", "step": epochs * 100}
    results["seconds"] = {"train": 61.5 * epochs, "test": 12.25}
    _write_json(folder / "results.json", results)
    _write_json(folder / "config.json", _config(channels, fragments))
    _write_json(folder / "run.json", _run(scenes, channels, fragments, recordings, synthetic))
    with (folder / "metrics.jsonl").open("w") as file:
        for epoch in range(1, epochs + 1):
            file.write(json.dumps(_epoch(epoch, len(scenes))) + "\n")
    correct = posteriors.mean(axis=(1, 2)).argmax(axis=1) == label
    shown = [int(np.flatnonzero(correct == kind)[0]) for kind in (True, False) if kind in correct]
    log_mel = rng.normal(size=(len(shown), 128, 431), scale=0.7) - np.linspace(0, 5, 128)[:, None]
    log_mel += np.cumsum(rng.normal(size=(len(shown), 1, 431), scale=0.2), axis=-1)
    np.savez(folder / "examples.npz", recording=np.array(shown), log_mel=log_mel.astype(np.float32))
    return results


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _config(channels: tuple[str, ...], fragments: int) -> dict:
    return {
        "seed": 0,
        "protocol": "paper",
        "data": {"root": "data/my scenes", "layout": "tut", "fold": 1, "scenes": []},
        "channels": list(channels),
        "fragments": {"count": fragments, "overlap": 0.0},
        "optimizer": {"name": "adamw", "learning_rate": 2e-4},
        "fusion": {"fragments": "mean", "channels": "mean"},
    }


def _run(
    scenes: tuple[str, ...],
    channels: tuple[str, ...],
    fragments: int,
    recordings: int,
    synthetic: bool,
) -> dict:
    return {
        "format": 1,
        "ascjax": "0.1.0",
        "scenes": list(scenes),
        "channels": list(channels),
        "fragments": fragments,
        "front_end": {
            "sample_rate_hz": 48000,
            "num_mels": 128,
            "window_size_s": 0.0464,
            "hop_size_s": 0.0232,
        },
        "duration_s": 10.0,
        "normalisation": {"mean": [0.0] * 128, "deviation": [1.0] * 128},
        "fusion": {"fragments": "mean", "channels": "mean"},
        "left_out": {},
        "recordings": {"train": 6122, "validation": 0, "test": recordings},
        "model": {
            "trunk": "vgg16",
            "head": "mlp",
            "parameters": 14848842,
            "flops_per_recording": 9.5e10,
        },
        "protocol": "paper",
        "data": {"root": "data/my scenes", "layout": "tut", "fold": 1},
        "synthetic": synthetic,
    }


def _epoch(epoch: int, scene_count: int) -> dict:
    learned = 1 - np.exp(-epoch / 4)
    return {
        "step": epoch * 100,
        "epoch": epoch,
        "train/loss": float(np.log(scene_count) * (1 - 0.95 * learned)),
        "train/accuracy": float(1 / scene_count + (0.97 - 1 / scene_count) * learned),
        "learning_rate": 2e-4,
        "validation/loss": float(np.log(scene_count) * (1 - 0.7 * learned)),
        "validation/accuracy": float(1 / scene_count + (0.8 - 1 / scene_count) * learned),
        "seconds": 61.5,
    }
