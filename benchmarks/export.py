"""Exported networks: latency and size in ONNX Runtime, beside ours and beside PyTorch's.

Run: python -m benchmarks.export [--quick] [--run=DIR] [--out=FILE.json]

Each side takes one window from waveform to scores. PyTorch's network, where torchvision has the
trunk, has the same weights and follows our front end. ``ours / side`` is above 1 where a side is
faster than ascjax. Two threads a side on two cores.
"""

import argparse
import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ascjax import cli
from ascjax.audio.channels import shares
from ascjax.data import fragments
from ascjax.deploy import folder
from ascjax.models import variables
from ascjax.runs import loading
from ascjax.runs.exported import MODEL_FILES, open_model
from ascjax.runs.network import MODEL_FILE
from ascjax.runs.run import Run
from benchmarks import measure, torch_side
from convert.keymaps import KEY_MAPS

Side = Callable[[], Any]


def torch_side_of(run: Run, wave: np.ndarray) -> Mapping[str, Side]:
    """Returns PyTorch's ways to take a window; none if torchvision doesn't have the trunk."""
    info = run.info
    if info.model.trunk not in KEY_MAPS or info.model.head not in ("gap", "mlp"):
        return {}
    trained = variables.load(run.path / MODEL_FILE, run.trained.model_sha256)
    made = torch_side.network(info.model.trunk, info.model.head, trained)
    count = len(info.channels) * info.fragments

    def take(posteriors: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        log_mel = run.front_end(wave, shares(info.channels, len(wave)))
        width, starts = fragments.layout(log_mel.shape[-1], info.fragments, info.overlap)
        cut = np.stack([log_mel[..., start : start + width] for start in starts], axis=1)
        return posteriors(cut.reshape(count, *cut.shape[2:], 1)).mean(axis=0)

    return {
        f"PyTorch {variant}": functools.partial(take, torch_side.posteriors(made, variant, count))
        for variant in torch_side.variants(False)[0]
    }


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = measure.parser("export", __doc__, repeats=20)
    parser.add_argument("--run", default="esc10", metavar="DIR", help="see `ascjax export`")
    options = parser.parse(argv)
    if options.quick:
        options.repeats = 1
    return options


def main(options: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    classifier = loading.load(options.run)
    (run,) = classifier.runs
    rate_hz = run.front_end.sample_rate_hz
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, (2, round(run.info.duration_s * rate_hz))).astype(np.float32)
    size = {"ours": (run.path / MODEL_FILE).stat().st_size}
    sides: dict[str, Side] = {"ours": functools.partial(classifier.predict, (wave, rate_hz))}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in MODEL_FILES:
            out = Path(scratch, kind)
            folder.write(run.path, out, kind=kind)
            size[kind] = (out / MODEL_FILES[kind]).stat().st_size
            sides[kind] = functools.partial(open_model(out), wave[None])
        sides |= torch_side_of(run, wave)
        seconds = measure.interleaved(sides, options.repeats)
    rows = [
        {
            "side": name,
            "ms": measure.spread(1000 * values),
            "ours / side": measure.spread(seconds["ours"] / values),
            # PyTorch keeps the same float32 parameters.
            "MB": size.get(name, 4 * run.info.model.parameters) / 1e6,
        }
        for name, values in seconds.items()
    ]
    measure.report("export", options, {f"{options.run}: one window to scores": rows})


if __name__ == "__main__":
    cli.run(main, parse)
