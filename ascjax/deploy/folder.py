"""The exported folder: model, labels, program and card; whole, or not there.

model.onnx or model.stablehlo    the graph from waveform to scores
labels.txt                       scenes in the order of scores, one a line
predict.py                       runs it without ascjax
README.md                        the card
run.json, results.json           the run's facts, without paths and names of its recordings
export.json                      `runs.exported.Export`
"""

import contextlib
import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import jax

from ascjax import records
from ascjax.deploy import card, comparison, graph, page
from ascjax.errors import UserError
from ascjax.files import write_bytes, write_text
from ascjax.models import variables
from ascjax.runs import loading, stored
from ascjax.runs.exported import MODEL_FILES, Export
from ascjax.runs.folder import EXPORT_FILE, RunResults, Trained, is_exported
from ascjax.runs.info import RunInfo
from ascjax.runs.network import MODEL_FILE
from ascjax.runs.novelty import NOVELTY_FILE
from ascjax.runs.run import Run

# Where programs that StableHLO is compiled for run.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


@dataclasses.dataclass(frozen=True)
class Licences:
    """Of the weights (an SPDX identifier, as hubs take it) and of the recordings, or empty."""

    weights: str = ""
    data: str = ""


def write(
    source: str | os.PathLike[str],
    out: Path,
    *,
    kind: str,
    quantise: bool = False,
    verify_on: Path | None = None,
    data: Path | None = None,
    licences: Licences = Licences(),
) -> Export:
    """Exports a run into a new folder.

    Args:
      source: as `ascjax.load` takes it, of one run.
      out: the folder; it must not be there.
      kind: ``onnx`` or ``stablehlo``.
      quantise: kernels in int8, measured on the run's test part.
      verify_on: recordings to compare on, see `comparison.recordings`.
      data: where the run's data set is, if not where it was.
      licences: for the card.

    Returns:
      What was exported and how close it is; its ``difference`` is to the run with the same weights.

    Raises:
      UserError: the run isn't finished, can't be exported in this format, differs once exported, or
        the folder is there or can't be written. Nothing is left then.
    """
    run = _one_run(source)
    sources, compared_on = comparison.recordings(run, verify_on, data)
    tested = comparison.test_part(run, data) if quantise else []
    weights = graph.weights(run)
    kept = graph.quantised(weights) if quantise else weights
    content = _model(run, kept, kind)
    with _whole(out) as partial:
        write_bytes(partial / MODEL_FILES[kind], content)
        sha256 = hashlib.sha256(content).hexdigest()
        export = Export(
            kind=kind,
            sha256=sha256,
            quantised=quantise,
            versions=_versions(kind),
            compared_on=compared_on,
            difference=0.0,
        )
        records.write(partial / EXPORT_FILE, export)
        records.write(partial / "run.json", public(run.info))
        records.write(partial / "results.json", anonymous(run.trained))
        exported = loading.load(partial)
        with _reference(run, kept) as reference:
            difference = comparison.largest_difference(exported, reference, sources)
        comparison.check(difference, compared_on)
        accuracy = None
        if quantise:
            before, after = (
                comparison.right_answers(each, run, tested)
                for each in (loading.load(run.path), exported)
            )
            accuracy = (before, after, run.results.recordings)
        export = dataclasses.replace(export, difference=difference, accuracy=accuracy)
        records.write(partial / EXPORT_FILE, export)
        write_text(partial / "labels.txt", "".join(f"{scene}\n" for scene in run.info.scenes))
        write_text(partial / "predict.py", card.program(run, kind))
        write_text(
            partial / "README.md",
            card.card(
                run,
                public(run.info),
                export,
                out.resolve().name,
                licences,
                parameter_bytes=stored.num_bytes(
                    (values.shape for values in weights.values()), quantised=quantise
                ),
            ),
        )
        page.write_app(partial)
    return export


def _one_run(source: str | os.PathLike[str]) -> Run:
    """Returns the run to export.

    Raises:
      UserError: there is none, there are several, of folds, or it was exported already.
    """
    run, *others = loading.load(source).runs
    if others:
        raise UserError(
            f"{source}: holds the runs of {1 + len(others)} folds; export one of them, or train on "
            "every recording with --config.protocol=all"
        )
    if is_exported(run.path):
        raise UserError(f"{run.path}: is an exported folder; give the run that it was made from")
    return run


def _model(run: Run, weights: graph.Weights, kind: str) -> bytes:
    function, shape = graph.function(run), graph.input_shape(run)
    if kind == "stablehlo":
        traced = jax.jit(lambda waveform: function(weights, waveform))
        return bytes(jax.export.export(traced, platforms=PLATFORMS)(shape).serialize())
    try:
        from ascjax.deploy import onnx
    except ImportError as error:
        raise UserError(
            f"--format=onnx: {error.name} isn't installed; pip install 'ascjax[export]'"
        ) from None
    try:
        return onnx.convert(function, weights, {graph.WAVEFORM: shape}).SerializeToString()
    except onnx.Inexpressible as error:
        model = run.info.model
        raise UserError(
            f"{run.path}: trunk {model.trunk} with head {model.head} uses {error}, which isn't "
            "converted to ONNX; use --format=stablehlo"
        ) from None


def _versions(kind: str) -> dict[str, str]:
    names = ("ascjax", "jax", *(["onnx"] if kind == "onnx" else []))
    return {name: metadata.version(name) for name in names}


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Yields a folder beside ``out`` that takes its place at the end, or is removed.

    Raises:
      UserError: ``out`` is there already, or can't be written.
    """
    if out.exists():
        raise UserError(f"--out={out}: is there already; choose another name or remove it")
    partial = out.with_name(out.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        partial.replace(out)
    except OSError as error:
        raise UserError(f"--out={out}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _reference(run: Run, weights: graph.Weights) -> Iterator[loading.Classifier]:
    """Yields the run in float32, with weights as they were exported."""
    with tempfile.TemporaryDirectory(prefix="ascjax-") as name:
        folder = Path(name)
        sha256 = variables.save(folder / MODEL_FILE, graph.restored(weights))
        settings = dataclasses.replace(run.info.model, compute_dtype="float32")
        records.write(folder / "run.json", dataclasses.replace(run.info, model=settings))
        results = dataclasses.replace(run.trained, model_sha256=sha256)
        records.write(folder / "results.json", results)
        _copy_novelty(run, folder)
        yield loading.load(folder)


def public(info: RunInfo) -> RunInfo:
    """Returns run.json without the machine that trained, its paths and its recordings' names."""
    return dataclasses.replace(
        info,
        left_out={},
        data=dataclasses.replace(
            info.data,
            root=Path(info.data.root).name,
            leaks=tuple(leak.partition(", e.g. ")[0] for leak in info.data.leaks),
        ),
        initial_weights=dataclasses.replace(
            info.initial_weights, weights=Path(info.initial_weights.weights).name
        ),
        environment=dataclasses.replace(info.environment, command=None, hardware="not stated"),
    )


def anonymous(trained: Trained) -> Trained:
    """Returns results.json with numbers for the names of recordings and locations."""
    if not isinstance(trained, RunResults):
        return trained
    decisions = trained.decisions
    numbers = tuple(map(str, range(1, trained.recordings + 1)))
    places = {name: str(number) for number, name in enumerate(dict.fromkeys(decisions.location), 1)}
    decisions = dataclasses.replace(
        decisions,
        recording=numbers,
        location=tuple(name and places[name] for name in decisions.location),
    )
    return dataclasses.replace(trained, decisions=decisions)


def _copy_novelty(run: Run, folder: Path) -> None:
    """Copies what tells recordings unlike all of training, where the run has it."""
    if (run.path / NOVELTY_FILE).exists():
        shutil.copy(run.path / NOVELTY_FILE, folder)
