"""A run's novelty model: what its training recordings look like to its network.

It sees the network's features, made to tell the scenes apart, and statistics of the input, which
show what the features leave out: of 20 synthetic voices, a network for ESC-10 called 0 novel by its
features, and 12 by both.

`fit` is called at the end of training, `read` where recordings are predicted.
"""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ascjax.errors import UserError
from ascjax.files import TEST_AGAIN, read_arrays, write_arrays
from ascjax.scoring.fusion import namespace
from ascjax.scoring.novelty import NoveltyModel, fit_novelty, novelty

if TYPE_CHECKING:
    from ascjax.data.batches import Fragments
    from ascjax.runs.network import TrainedNetwork

NOVELTY_FILE = "novelty.npz"

# Of more recordings the means and leading directions hardly change.
MAX_TRAINING, MAX_HELD_OUT = 2_000, 1_000
# The share of ordinary recordings that aren't called novel. More lets the few odd ones in any
# validation part set a threshold that hardly anything exceeds.
QUANTILE = 0.95
# Of training's variance; with more, few recordings estimate each one badly.
MAX_DIRECTIONS = 32
# Fewer held-out recordings can't set a threshold that keeps it.
MIN_HELD_OUT = 19


def fit(
    network: "TrainedNetwork", train: "Fragments", held_out: "Fragments | None"
) -> NoveltyModel | None:
    """Fits a novelty model to a trained network's embeddings.

    Args:
      network: as it will be used.
      train: the training part; of more than ``MAX_TRAINING`` recordings, evenly spaced ones.
      held_out: the validation part, which sets the threshold.

    Returns:
      The model, or None without ``MIN_HELD_OUT`` held-out recordings: training recordings, which
      the network knows, set no threshold for others.
    """
    if held_out is None or len(held_out.indices) < MIN_HELD_OUT:
        return None
    train, held_out = _thinned(train, MAX_TRAINING), _thinned(held_out, MAX_HELD_OUT)
    return fit_novelty(
        _joined(*network.of_part(train)[1:]),
        train.labels,
        _joined(*network.of_part(held_out)[1:]),
        quantile=QUANTILE,
        max_directions=MAX_DIRECTIONS,
    )


def _thinned(part: "Fragments", most: int) -> "Fragments":
    """Returns at most so many recordings of a part, evenly spaced."""
    chosen = np.unique(np.linspace(0, len(part.indices) - 1, most).round().astype(int))
    return replace(part, indices=part.indices[chosen], labels=part.labels[chosen])


def novelty_of(
    features: Float[Any, "window feature"],
    statistics: Float[Any, "window statistic"],
    model: NoveltyModel,
) -> Float[Any, " window"]:
    """Returns the distance of each window from training, 1 at the threshold of the novel.

    Raises:
      UserError: the model is one of other features.
    """
    embeddings, width = _joined(features, statistics), model.means.shape[1]
    if embeddings.shape[-1] != width:
        raise UserError(
            f"{NOVELTY_FILE} of the run: expected means of {embeddings.shape[-1]} features, got "
            f"{width}; {TEST_AGAIN}"
        )
    return novelty(embeddings, model) / model.threshold


def _joined(features: Any, statistics: Any) -> Any:
    """Returns features of length 1 beside statistics, which then weigh about as much.

    The features' length varies much among ordinary recordings, so that distances without it tell
    novelty better (M. Mueller, M. Hein, "Mahalanobis++: improving OOD detection via feature
    normalization", ICML 2025).
    """
    xp = namespace(features)
    lengths = xp.maximum(xp.sqrt((features**2).sum(axis=-1, keepdims=True)), 1e-30)
    scale = math.sqrt(statistics.shape[-1])
    return xp.concatenate([features / lengths, statistics / scale], axis=-1)


def write(folder: Path, model: NoveltyModel) -> None:
    """Writes novelty.npz into a run folder.

    Raises:
      UserError: it can't be written.
    """
    arrays = {field.name: np.asarray(getattr(model, field.name)) for field in fields(model)}
    write_arrays(folder / NOVELTY_FILE, **arrays)


def read(folder: Path) -> NoveltyModel | None:
    """Returns the novelty model of a run, or None if it has none.

    Raises:
      UserError: novelty.npz is damaged.
    """
    path = folder / NOVELTY_FILE
    if not path.exists():
        return None
    arrays = read_arrays(path, *(field.name for field in fields(NoveltyModel)))
    try:
        if any(array.dtype.kind != "f" for array in arrays.values()):
            raise ValueError("expected arrays of floats")
        numbers = {name: float(array) for name, array in arrays.items() if array.ndim == 0}
        return NoveltyModel(**{**arrays, **numbers})  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}; {TEST_AGAIN}") from None
