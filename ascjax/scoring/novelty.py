"""Novelty: how far a recording lies from all that a network was trained on.

A softmax has no way to say "none of these": digital silence gets a scene and a score like any other
input. The distance of its embedding from the scenes' means tells it apart (K. Lee, K. Lee, H. Lee,
J. Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial
attacks", NeurIPS 2018). Nearest neighbours (Y. Sun et al., ICML 2022) do so without assuming a
shape, but need all training embeddings in the run; here a few dozen vectors are kept.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ascjax.scoring.conformal import conformal_quantile
from ascjax.scoring.fusion import namespace, widened

# Directions within scenes that keep a variance of their own; the others share one.
MAX_DIRECTIONS = 64
# No direction's variance counts as less than this share of their mean: embeddings that never moved
# in training (a unit that is always 0) would make a rounding error look novel.
VARIANCE_FLOOR = 1e-6


@dataclass(frozen=True)
class NoveltyModel:
    """Normal distributions of embeddings, one a scene, that share their covariance.

    The covariance is that of probabilistic PCA (M. E. Tipping, C. M. Bishop, J. R. Stat. Soc. B 61,
    1999): leading eigenvectors with their variances, and one variance for all the rest. It can be
    inverted with fewer recordings than dimensions, and stays small: for 512 dimensions and 10
    scenes, 150 kB instead of 1 MB.

    Attributes:
      means: [scene, feature] float32, of the scenes that have recordings.
      directions: [direction, feature] float32, orthonormal.
      variances: [direction] float32, along each.
      residual_variance: along everything else.
      threshold: a larger `novelty` is novel; infinity where held-out recordings were too few.
      quantile: the share of ordinary recordings, at least, that the threshold keeps.
    """

    means: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    residual_variance: float
    threshold: float
    quantile: float

    def __post_init__(self) -> None:
        scenes, features = self.means.shape
        count = len(self.variances)
        if self.directions.shape != (count, features) or scenes == 0:
            raise ValueError(
                f"novelty: expected directions of shape {(count, features)} for means of shape "
                f"{self.means.shape}, got {self.directions.shape}"
            )
        if not (self.residual_variance > 0 and (self.variances > 0).all()):
            raise ValueError("novelty: expected variances above 0")


def fit_novelty(
    train_embeddings: Float[np.ndarray, "recording feature"],
    labels: Int[np.ndarray, " recording"],
    held_out_embeddings: Float[np.ndarray, "held_out feature"],
    *,
    quantile: float = 0.99,
    max_directions: int = MAX_DIRECTIONS,
) -> NoveltyModel:
    """Fits the distribution to the training part, and the threshold to held-out recordings.

    The network knows its training recordings too well for a threshold: others lie further off. It
    is a conformal one, so that recordings exchangeable with the held-out ones are called novel with
    probability 1 − ``quantile`` at most (S. Bates et al., "Testing for outliers with conformal
    p-values", Annals of Statistics 51, 2023).

    Args:
      train_embeddings: one a recording, e.g. the mean over its fragments and channels.
      labels: their scenes.
      held_out_embeddings: of the validation part.
      quantile: within 0..1, both excluded; 0.99 takes 99 held-out recordings.
      max_directions: of a variance of their own; fewer where there are fewer features.

    Raises:
      ValueError: embeddings that are none, not finite, or all equal to their scene's mean; a
        quantile outside of its range.
    """
    for name, embeddings in (("training", train_embeddings), ("held-out", held_out_embeddings)):
        if len(embeddings) == 0 or not np.isfinite(embeddings).all():
            raise ValueError(f"novelty: expected finite {name} embeddings, at least one")
    scenes, index = np.unique(labels, return_inverse=True)
    embeddings = train_embeddings.astype(np.float64)
    means = np.stack([embeddings[index == scene].mean(axis=0) for scene in range(len(scenes))])
    directions, variances, residual = _principal(
        embeddings - means[index],
        freedom=max(1, len(embeddings) - len(scenes)),
        most=max_directions,
    )
    model = NoveltyModel(
        means=means.astype(np.float32),
        directions=directions.astype(np.float32),
        variances=variances.astype(np.float32),
        residual_variance=residual,
        threshold=math.inf,
        quantile=quantile,
    )
    threshold = conformal_quantile(novelty(held_out_embeddings, model), quantile)
    return NoveltyModel(**{**vars(model), "threshold": threshold})


def novelty(
    embeddings: Float[Any, "recording feature"], model: NoveltyModel
) -> Float[Any, " recording"]:
    """Mahalanobis distance of each embedding from the nearest scene's mean, by √features.

    About 1 for recordings like those of training, whatever the number of features. Embeddings may
    be JAX's, within a graph to export.
    """
    xp, embeddings = namespace(embeddings), widened(embeddings)
    directions, means, variances = (
        xp.asarray(each, embeddings.dtype)
        for each in (model.directions, model.means, model.variances)
    )
    of_scenes = []
    for scene in range(len(model.means)):
        difference = embeddings - means[None, scene]
        along = difference @ directions.T
        rest = xp.maximum((difference**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squared = (along**2 / variances[None]).sum(axis=1) + rest / model.residual_variance
        of_scenes.append(squared)
    return xp.sqrt(functools.reduce(xp.minimum, of_scenes) / model.means.shape[1])


def _principal(
    deviations: np.ndarray, *, freedom: int, most: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Leading eigenvectors [direction, feature], their variances, and the mean of the others."""
    features = deviations.shape[1]
    values, vectors = np.linalg.eigh(deviations.T @ deviations / freedom)
    values, vectors = np.maximum(values[::-1], 0), vectors.T[::-1]
    if values[0] == 0:
        raise ValueError("novelty: the embeddings of each scene are all equal")
    floor = VARIANCE_FLOOR * float(values.mean())
    count = min(most, features - 1)
    residual = float(values[count:].mean())
    return vectors[:count], np.maximum(values[:count], floor), max(residual, floor)
