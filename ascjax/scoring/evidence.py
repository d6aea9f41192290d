"""Which fragments decide (the paper's section 4.3): posteriors → votes, agreement, an oracle.

A fragment here is a piece of time: its channels are fused, and it *votes* for the scene with the
largest score. Everything is a pure function of arrays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ascjax.scoring.fusion import Fusion, fuse
from ascjax.scoring.metrics import confusion_matrix
from ascjax.scoring.rates import Proportion, proportion


def fragment_scores(
    posteriors: Float[np.ndarray, "recording channel fragment scene"], *, channels: str = "mean"
) -> Float[np.ndarray, "recording fragment scene"]:
    """Fuses the channels of each fragment, by a key of ``fusion.METHODS``."""
    recordings, _, fragments, scenes = posteriors.shape
    apart = np.moveaxis(posteriors, 2, 1).reshape(recordings * fragments, -1, 1, scenes)
    return fuse(apart, channels=channels).reshape(recordings, fragments, scenes)


def effective_fragments(
    scores: Float[np.ndarray, "recording fragment scene"],
    predictions: Int[np.ndarray, " recording"],
) -> Float[np.ndarray, " recording"]:
    """Effective number of fragments behind a prediction: 1 if one decides, N_s if all do alike.

    exp(H), where H is Shannon's entropy of the fragments' shares in the predicted scene's summed
    scores: Hill's diversity of order 1 (M. O. Hill, Ecology 54, 1973). H / ln N_s is the normalised
    entropy. With means as fusion the shares are those of the fused score itself.
    """
    evidence = np.take_along_axis(scores, predictions[:, None, None], axis=2)[..., 0]
    total = evidence.sum(axis=1, keepdims=True)
    shares = evidence / np.maximum(total, np.finfo(np.float64).tiny)
    return np.exp(-(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1))


@dataclass(frozen=True)
class Concentration:
    """How the fragments of some recordings vote; means over them, None without any.

    Attributes:
      recordings: how many.
      agreement: share in 0..1 of a recording's fragments that vote for its fused prediction.
      effective_fragments: see `effective_fragments`.
    """

    recordings: int
    agreement: float | None
    effective_fragments: float | None


@dataclass(frozen=True)
class Confusion:
    """A frequent confusion: scenes by index, recordings, and who voted for what.

    ``votes`` [fragment][true scene, predicted scene, others] are shares in 0..1.
    """

    true: int
    predicted: int
    recordings: int
    votes: list[list[float]]


@dataclass(frozen=True)
class Evidence:
    """Which fragments decide.

    Attributes:
      fused: accuracy of the fused decision.
      by_position: accuracy of each fragment's vote.
      oracle: recordings of which any fragment votes for the true scene.
      oracle_of_guesses: the oracle's accuracy in 0..1 if every fragment guessed.
      right, wrong: of recordings predicted so.
      pairs: the most frequent confusions, the most frequent first.
    """

    fused: Proportion
    by_position: list[Proportion]
    oracle: Proportion
    oracle_of_guesses: float
    right: Concentration
    wrong: Concentration
    pairs: list[Confusion]


def weigh_fragments(
    posteriors: Float[np.ndarray, "recording channel fragment scene"],
    labels: Int[np.ndarray, " recording"],
    *,
    by: Fusion,
    max_pairs: int = 7,
) -> Evidence:
    """Returns which fragments decide.

    Args:
      posteriors: of 2 or more fragments.
      labels: each recording's true scene.
      by: how the decision is fused.
      max_pairs: how many of the most frequent confusions to look into.
    """
    fused = fuse(posteriors, fragments=by.fragments, channels=by.channels)
    predictions = fused.argmax(-1)
    scores = fragment_scores(posteriors, channels=by.channels)
    votes = scores.argmax(axis=-1)
    right, total, num_scenes = predictions == labels, len(labels), scores.shape[-1]
    agreement = (votes == predictions[:, None]).mean(axis=1)
    effective = effective_fragments(scores, predictions)
    fragment_right = votes == labels[:, None]

    def concentration(chosen: np.ndarray) -> Concentration:
        if not chosen.any():
            return Concentration(0, None, None)
        means = (float(values[chosen].mean()) for values in (agreement, effective))
        return Concentration(int(chosen.sum()), *means)

    def confusion(true: int, predicted: int) -> Confusion:
        cast = votes[(labels == true) & (predictions == predicted)]
        for_true, for_predicted = cast == true, cast == predicted
        shares = np.stack([for_true, for_predicted, ~(for_true | for_predicted)], axis=-1)
        return Confusion(true, predicted, len(cast), shares.mean(axis=0).tolist())

    confused = confusion_matrix(labels, predictions, scene_count=num_scenes)
    np.fill_diagonal(confused, 0)
    most = np.argsort(-confused, axis=None, kind="stable")[:max_pairs].tolist()
    return Evidence(
        fused=proportion(int(right.sum()), total),
        by_position=[proportion(n, total) for n in fragment_right.sum(axis=0).tolist()],
        oracle=proportion(int(fragment_right.any(axis=1).sum()), total),
        oracle_of_guesses=1 - (1 - 1 / num_scenes) ** votes.shape[1],
        right=concentration(right),
        wrong=concentration(~right),
        pairs=[confusion(*divmod(cell, num_scenes)) for cell in most if confused.flat[cell]],
    )
