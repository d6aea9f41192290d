"""The texts of an exported folder: the card, from the run's facts, and the program that runs it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jinja2

from ascjax.audio.quality import SILENCE_DB
from ascjax.errors import choose
from ascjax.report.text import SYNTHETIC_NOTE, interval, percent, size
from ascjax.runs.exported import MODEL_FILES, Export
from ascjax.runs.info import RunInfo
from ascjax.runs.novelty import NOVELTY_FILE
from ascjax.runs.run import Run
from ascjax.scoring.rates import Proportion

if TYPE_CHECKING:
    from ascjax.deploy.folder import Licences

# The package that runs a model, by the format of the export.
RUNTIMES = {"onnx": "onnxruntime", "stablehlo": "jax"}
# Of DCASE 2022 to 2025, task 1.
_MAX_PARAMETER_BYTES = 128_000
_MAX_MACS_PER_SECOND = 30e6
# `fusion.METHODS` of x [..., item, scene] in NumPy, as predict.py has them.
FUSIONS = {
    "mean": "x.mean(-2)",
    "log_mean": "np.exp(np.log(np.maximum(x, 1.2e-38)).mean(-2))",
    "max": "x.max(-2)",
    "median": "np.where((m := np.median(x, -2)).any(-1, keepdims=True), m, x.mean(-2))",
    "vote": "((v := x == x.max(-1, keepdims=True)) / v.sum(-1, keepdims=True)).sum(-2)"
    " + 1e-6 * x.mean(-2)",
}
# What is known of the licence of published sets, by layout.
DATA_LICENCES = {
    "tut": "TUT/TAU acoustic scene sets are for non-commercial use; see the LICENSE of the set",
    "esc50": "CC BY-NC 3.0 (ESC-50)",
    "urbansound8k": "CC BY-NC 3.0 (UrbanSound8K)",
}


def program(run: Run, kind: str) -> str:
    """Returns predict.py.

    Raises:
      UserError: a fusion that it doesn't have.
    """
    info, calibration = run.info, run.trained.calibration
    rate_hz = run.front_end.sample_rate_hz
    fused = (("fragments", info.fusion.fragments), ("channels", info.fusion.channels))
    return _template("predict.py.j2").render(
        runtime=RUNTIMES[kind],
        file=MODEL_FILES[kind],
        seconds=info.duration_s,
        rate=rate_hz,
        samples=round(info.duration_s * rate_hz),
        silence=f"{10 ** (SILENCE_DB / 10):g}",
        steps=[
            (choose(f"fusion of {what} in predict.py", method, FUSIONS), what)
            for what, method in fused
        ],
        temperature=1.0 if calibration is None else calibration.temperature,
        least=0.0 if calibration is None else calibration.unknown,
    )


def card(
    run: Run,
    info: RunInfo,
    export: Export,
    name: str,
    licences: "Licences",
    *,
    parameter_bytes: int,
) -> str:
    """Returns README.md, a model card with the front matter of a hub.

    Args:
      run: that was exported.
      info: its run.json, as it is published.
      export: what was made of it.
      name: of the model.
      licences: of weights and data.
      parameter_bytes: what the network's variables take in the exported file.
    """
    results = run.results if run.tested else None
    groups: list[tuple[str, Mapping[str, Proportion]]] = []
    if results is not None:
        groups = [
            ("scene", results.by_scene),
            ("city", results.by_city),
            ("device", results.by_device),
            ("devices in training", results.seen_apart),
        ]
    synthetic = info.data.synthetic
    data = "none asked for: the recordings are synthesised" if synthetic else None
    return _template("card.md.j2").render(
        name=name,
        kind=export.kind,
        file=MODEL_FILES[export.kind],
        runtime=RUNTIMES[export.kind],
        info=info,
        rate=run.front_end.sample_rate_hz,
        samples=round(info.duration_s * run.front_end.sample_rate_hz),
        results=results,
        groups=groups,
        calibration=run.trained.calibration,
        novelty=(run.path / NOVELTY_FILE).exists(),
        export=export,
        complexity=_complexity(info, parameter_bytes),
        model_sha256=run.trained.model_sha256,
        licence=licences.weights,
        data_licence=licences.data or data or DATA_LICENCES.get(info.data.layout),
        weights_licence=info.initial_weights.header.get("licence"),
        synthetic=SYNTHETIC_NOTE.replace("\n", " ") if synthetic else None,
    )


def _complexity(info: RunInfo, parameter_bytes: int) -> list[tuple[str, str, str, str]]:
    """Returns the rows of the table: what, how much, the limit, and whether it is kept."""
    model = info.model
    return [
        (
            "parameters, as stored",
            size(parameter_bytes),
            size(_MAX_PARAMETER_BYTES),
            _within(parameter_bytes, _MAX_PARAMETER_BYTES),
        ),
        (
            "multiply-accumulates a second of audio",
            f"{info.macs_per_second / 1e6:,.1f} million",
            f"{_MAX_MACS_PER_SECOND / 1e6:,.0f} million",
            _within(info.macs_per_second, _MAX_MACS_PER_SECOND),
        ),
        ("multiply-accumulates a window", f"{model.macs_per_recording / 1e6:,.1f} million", "", ""),
        ("activations at one time, at most", size(model.peak_activation_bytes), "", ""),
    ]


def _within(value: float, limit: float) -> str:
    return "within" if value <= limit else "over"


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ascjax.deploy", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": percent,
        "cell": lambda text: str(text).replace("|", "\\|"),
        "row": _row,
        "line": lambda part: f"{percent(part.accuracy)} ({interval(part.interval_95)})",
        "versions": lambda each: ", ".join(f"{name} {version}" for name, version in each.items()),
    }
    return environment.get_template(name)


def _row(part: Proportion, name: str) -> str:
    cells = (
        name.replace("|", "\\|"),
        percent(part.accuracy),
        interval(part.interval_95),
        f"{part.correct:,}",
        f"{part.total:,}",
    )
    return f"| {' | '.join(cells)} |"
