"""An exported network, read back: the folder that `ascjax export` writes, applied as a run is."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from itertools import groupby
from pathlib import Path

import numpy as np

from ascjax import records
from ascjax.errors import UserError
from ascjax.runs.ensemble import Ensemble
from ascjax.runs.folder import EXPORT_FILE
from ascjax.runs.reading import Waveform

EXPORT_FORMAT = 1
# The model's file by the format of the export.
MODEL_FILES = {"onnx": "model.onnx", "stablehlo": "model.stablehlo"}
EXPORT_AGAIN = "export the run anew"

Outputs = Mapping[str, np.ndarray]
Model = Callable[[np.ndarray], Outputs]


@dataclass(frozen=True, kw_only=True)
class Export:
    """export.json: how a network was exported.

    Attributes:
      kind: a key of ``MODEL_FILES``.
      sha256: of the model's file.
      quantised: whether its kernels are int8.
      versions: of what wrote it, by name.
      compared_on: the recordings on which it was compared with the run.
      difference: the largest of a score or posterior there.
      accuracy: right answers before and after quantisation on the run's test part, and how many
        recordings it has; None where nothing was quantised.
    """

    format: int = EXPORT_FORMAT
    kind: str
    sha256: str
    quantised: bool
    versions: dict[str, str]
    compared_on: str
    difference: float
    accuracy: tuple[int, int, int] | None = None


def open_model(folder: Path) -> Model:
    """Returns an exported network as a function of waveforms [window, column, sample].

    Raises:
      UserError: a file is missing, damaged or of another format, what runs it isn't installed, or
        this version of it can't read the file.
    """
    export = records.read(folder / EXPORT_FILE, Export, version=EXPORT_FORMAT, hint=EXPORT_AGAIN)
    path = folder / MODEL_FILES.get(export.kind, "model")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {EXPORT_AGAIN}") from None
    if hashlib.sha256(content).hexdigest() != export.sha256:
        raise UserError(
            f"{path}: damaged, its SHA-256 isn't the one in {EXPORT_FILE}; {EXPORT_AGAIN}"
        )
    opener = {"onnx": _onnx, "stablehlo": _stablehlo}[export.kind]
    try:
        return opener(content)
    except ImportError as error:
        raise UserError(
            f"{path}: {error.name} isn't installed; pip install 'ascjax[export]'"
        ) from None
    except Exception as error:  # whatever a runtime raises for what it can't read
        reason = str(error).partition("\n")[0]
        made = ", ".join(f"{name} {version}" for name, version in export.versions.items())
        raise UserError(
            f"{path}: written by {made}, can't be read by {_runtime(export.kind)} ({reason}); "
            f"{EXPORT_AGAIN}"
        ) from None


def _runtime(kind: str) -> str:
    name = {"onnx": "onnxruntime", "stablehlo": "jax"}[kind]
    return f"{name} {metadata.version(name)}"


def _onnx(content: bytes) -> Model:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def apply(waveform: np.ndarray) -> Outputs:
        return dict(zip(names, session.run(names, {"waveform": waveform}), strict=True))

    return apply


def _stablehlo(content: bytes) -> Model:
    import jax
    from jax import export

    call = jax.jit(export.deserialize(bytearray(content)).call)
    return lambda waveform: {name: np.asarray(each) for name, each in call(waveform).items()}


class Exported(Ensemble):
    """The one network of an exported folder; all but the network is as of a run."""

    @property
    def front_end(self) -> Waveform:
        """What leaves a waveform as it is."""
        return Waveform(self.runs[0].front_end.sample_rate_hz)

    @cached_property
    def _model(self) -> Model:
        return open_model(self.runs[0].path)

    def load(self) -> None:
        """Loads the network."""
        _ = self._model

    def networks(self, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `Ensemble.networks`, of waveforms."""
        # Mono and stereo recordings don't fit into one array.
        together = [
            self._model(np.stack(list(alike))) for _, alike in groupby(values, key=np.shape)
        ]
        posteriors, features, novelty = (
            np.concatenate([outputs[name] for outputs in together])
            for name in ("posteriors", "features", "novelty")
        )
        return posteriors[None], features, novelty > 1
