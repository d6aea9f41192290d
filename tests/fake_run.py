"""Writes run folders with made-up numbers, in the form that real runs have."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ascjax import records
from ascjax.audio.logmel import LogMel
from ascjax.files import write_arrays, write_json
from ascjax.runs.environment import Environment
from ascjax.runs.folder import RunResults, Seconds, TestPosteriors
from ascjax.runs.info import Counts, DataSource, InitialWeights, Model, Normalisation, RunInfo
from ascjax.scoring.calibration import Calibration
from ascjax.scoring.fusion import Fusion, fuse
from ascjax.scoring.results import score

SCENES = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall",
    "street_pedestrian", "street_traffic", "tram",
)  # fmt: skip
CITIES = ("barcelona", "helsinki", "london", "paris", "stockholm", "vienna")
ENVIRONMENT = Environment(
    versions={"ascjax": "0.1.0", "python": "3.12.1", "jax": "0.10.0"},
    started="2026-05-04T03:02:01+00:00",
    git="0123456789abcdef0123456789abcdef01234567",
    hardware="2 × Some Processor",
    command="ascjax train --config=vgg_mlp",
)
IMAGENET = InitialWeights(
    weights="weights/vgg16.safetensors",
    sha256="ab" * 32,
    header={
        "source": "vgg16-397923af.pth",
        "source_sha256": "cd" * 32,
        "max_abs_difference": "2.1e-05",
    },
)


def write_fake_run(
    folder: Path,
    *,
    recordings: int = 60,
    scenes: tuple[str, ...] = SCENES,
    channels: tuple[str, ...] = ("left", "right", "average"),
    fragments: int = 6,
    overlap: float = 0.0,
    epochs: int = 5,
    cities: tuple[str, ...] = CITIES,
    devices: tuple[str, ...] = (),
    trained_devices: tuple[str, ...] = (),
    fold: int = 1,
    protocol: str = "paper",
    root: str = "data/my scenes",
    synthetic: bool = False,
    occluded: bool = False,
    examples: bool = True,
    seed: int = 0,
) -> RunResults:
    """Fills ``folder`` and returns the results; ``protocol="validated"`` has a calibration."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    shape = (recordings, len(channels), fragments, len(scenes))
    posteriors, label = fake_posteriors(rng, shape)
    city = choices(rng, cities, recordings)
    stored = TestPosteriors(
        posteriors=posteriors,
        label=label,
        recording=np.array([f"{scenes[k]}-{i:04d}.wav" for i, k in enumerate(label)]),
        location=np.array([f"{c}-{i % 7}" if c else "" for i, c in enumerate(city)]),
        city=city,
        device=choices(rng, devices, recordings),
    )
    write_arrays(folder / "posteriors.npz", **stored.arrays)
    results = score(
        posteriors,
        label,
        names=stored.recording.tolist(),
        scenes=scenes,
        channels=channels,
        cities=city.tolist(),
        devices=stored.device.tolist(),
        locations=stored.location.tolist(),
        trained_devices=trained_devices,
    )
    finished = RunResults(
        **vars(results),
        part="test",
        step=epochs * 100,
        seconds=Seconds(61.5 * epochs, 12.25),
        peak_memory_gb={"process": 1.25},
        model_sha256="ef" * 32,
        calibration=fake_calibration(rng, shape) if protocol == "validated" else None,
    )
    records.write(folder / "results.json", finished)
    write_json(folder / "config.json", fake_config(channels, fragments))
    info = dataclasses.replace(
        fake_info(scenes, channels, recordings),
        fragments=fragments,
        overlap=overlap,
        protocol=protocol,
        devices=trained_devices,
        data=DataSource(root, "tut", fold, "official", "12" * 32, synthetic),
    )
    records.write(folder / "run.json", info)
    model = {"kernel": np.zeros((3, 3, 64, 128), np.float32), "bias": np.zeros(128, np.float32)}
    save_file(model, folder / "model.safetensors")
    lines = (json.dumps(fake_epoch(epoch, len(scenes))) for epoch in range(1, epochs + 1))
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    if examples:
        write_examples(folder, rng, results.right, occluded=occluded)
    return finished


def fake_posteriors(
    rng: np.random.Generator, shape: tuple[int, int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors [recording, channel, fragment, scene], mostly right, and their labels."""
    recordings, _, _, scenes = shape
    label = (np.arange(recordings) % scenes).astype(np.int32)
    # Errors shared by a recording's fragments and channels, and errors of each one alone.
    logits = rng.normal(size=(recordings, 1, 1, scenes), scale=1.3)
    logits = logits + rng.normal(size=shape, scale=1.2)
    logits += 3.2 * np.eye(scenes)[label][:, None, None]
    posteriors = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return posteriors.astype(np.float32), label


def fake_calibration(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Calibration:
    """A calibration fitted on 200 recordings like those of the test."""
    posteriors, label = fake_posteriors(rng, (200, *shape[1:]))
    return Calibration.fit(fuse(posteriors), label)


def choices(rng: np.random.Generator, names: Sequence[str], count: int) -> np.ndarray:
    """One of the names for each recording; ``""`` where there are none."""
    drawn = rng.integers(max(len(names), 1), size=count)
    return np.array([names[index] if names else "" for index in drawn])


def write_examples(
    folder: Path, rng: np.random.Generator, right: np.ndarray, *, occluded: bool
) -> None:
    """Writes examples.npz: the first recording that is right and the first that is wrong."""
    shown = [int(np.flatnonzero(right == kind)[0]) for kind in (True, False) if kind in right]
    log_mel = rng.normal(size=(len(shown), 128, 431), scale=0.7) - np.linspace(0, 5, 128)[:, None]
    log_mel += np.cumsum(rng.normal(size=(len(shown), 1, 431), scale=0.2), axis=-1)
    arrays = {"recording": np.array(shown), "log_mel": log_mel.astype(np.float32)}
    if occluded:
        arrays["occlusion"] = rng.normal(size=(len(shown), 8, 12), scale=0.1).astype(np.float32)
    write_arrays(folder / "examples.npz", **arrays)


def fake_config(channels: tuple[str, ...], fragments: int) -> dict:
    return {
        "seed": 0,
        "protocol": "paper",
        "data": {"root": "data/my scenes", "layout": "tut", "fold": 1, "scenes": []},
        "channels": list(channels),
        "fragments": {"count": fragments, "overlap": 0.0},
        "optimizer": {"name": "adamw", "learning_rate": 2e-4},
        "fusion": {"fragments": "mean", "channels": "mean"},
    }


def fake_info(scenes: tuple[str, ...], channels: tuple[str, ...], recordings: int) -> RunInfo:
    return RunInfo(
        scenes=scenes,
        channels=channels,
        fragments=1,
        overlap=0.0,
        duration_s=10.0,
        front_end=LogMel(48000).to_dict(),
        normalisation=Normalisation((0.0,) * 128, (1.0,) * 128),
        model=Model(
            "vgg16", "mlp", 256, 0.5, "float32", 1, 14848842, 9.5e10, 47_000_000_000, 4_600_000
        ),
        fusion=Fusion(),
        protocol="paper",
        recordings=Counts(6122, 0, recordings),
        devices=(),
        teacher="",
        left_out={},
        data=DataSource("data/my scenes", "tut", 1, "official", "12" * 32, False),
        initial_weights=IMAGENET,
        environment=ENVIRONMENT,
    )


def fake_epoch(epoch: int, scene_count: int) -> dict:
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
