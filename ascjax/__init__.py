"""Acoustic scene classification with transferred image networks, in JAX/Flax.

    >>> import ascjax
    >>> classifier = ascjax.load("esc10")
    >>> classifier
    Classifier(vgg_tiny, head gap, 10 scenes, 5 s windows at 44,100 Hz)

Everything public is loaded when first used, so that importing ascjax takes no time and no JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ascjax.audio.frontends import FRONT_ENDS
    from ascjax.audio.logmel import LogMel
    from ascjax.audio.pcen import Pcen
    from ascjax.config import load_config
    from ascjax.errors import UserError
    from ascjax.main import train
    from ascjax.models import create_model
    from ascjax.models.weights import load_weights
    from ascjax.runs.loading import load
    from ascjax.runs.predictor import Classifier
    from ascjax.runs.run import Run
    from ascjax.runs.verdict import Prediction
    from ascjax.scoring.fusion import fuse
    from ascjax.scoring.results import Results, score

# Public name → the module that defines it.
_PUBLIC = {
    "Classifier": "ascjax.runs.predictor",
    "FRONT_ENDS": "ascjax.audio.frontends",
    "LogMel": "ascjax.audio.logmel",
    "Pcen": "ascjax.audio.pcen",
    "Prediction": "ascjax.runs.verdict",
    "Results": "ascjax.scoring.results",
    "Run": "ascjax.runs.run",
    "UserError": "ascjax.errors",
    "create_model": "ascjax.models",
    "fuse": "ascjax.scoring.fusion",
    "load": "ascjax.runs.loading",
    "load_config": "ascjax.config",
    "load_weights": "ascjax.models.weights",
    "score": "ascjax.scoring.results",
    "train": "ascjax.main",
}

__all__ = [
    "Classifier",
    "FRONT_ENDS",
    "LogMel",
    "Pcen",
    "Prediction",
    "Results",
    "Run",
    "UserError",
    "create_model",
    "fuse",
    "load",
    "load_config",
    "load_weights",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ascjax' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
