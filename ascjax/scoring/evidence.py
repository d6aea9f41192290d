"""Which fragments decide (the paper's section 4.3): posteriors → votes, agreement, an oracle.

A fragment here is a piece of time: its channels are fused, and it *votes* for the scene with the
largest score. Everything is a pure function of arrays.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ascjax.scoring.fusion import fuse
from ascjax.scoring.metrics import confusion_matrix, proportion


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
    """On how many fragments a prediction rests: 1 if on one alone, N_s if on all of them alike.

    exp(H), where H is Shannon's entropy of the fragments' shares in the predicted scene's summed
    scores: Hill's diversity of order 1 (M. O. Hill, Ecology 54, 1973). H / ln N_s is the normalised
    entropy. With means as fusion the shares are those of the fused score itself.
    """
    evidence = np.take_along_axis(scores, predictions[:, None, None], axis=2)[..., 0]
    total = evidence.sum(axis=1, keepdims=True)
    shares = evidence / np.maximum(total, np.finfo(np.float64).tiny)
    return np.exp(-(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1))


def summarise(
    posteriors: Float[np.ndarray, "recording channel fragment scene"],
    labels: Int[np.ndarray, " recording"],
    *,
    fragment_fusion: str = "mean",
    channel_fusion: str = "mean",
    max_pairs: int = 7,
) -> dict[str, Any]:
    """All that the table and the figure of a run's fragments show.

    Args:
      posteriors: as ``metrics.check`` wants them, of 2 or more fragments.
      labels: each recording's true scene.
      fragment_fusion: a key of ``fusion.METHODS``.
      channel_fusion: likewise.
      max_pairs: how many of the most frequent confusions to look into.

    Returns:
      ``fused``: a `metrics.proportion`; ``by_position``: one for the votes of each fragment;
      ``oracle``: one of the recordings of which any fragment votes for the true scene, and
      ``oracle_of_guesses`` its accuracy in 0..1 if every fragment guessed;
      ``right``, ``wrong``: of recordings predicted so, ``recordings`` and, None without any, the
      means of ``agreement`` (the share in 0..1 of a recording's fragments that vote for its fused
      prediction) and of ``effective_fragments``;
      ``pairs``: the most frequent first, ``true`` and ``predicted`` (indices), ``recordings`` and
      ``votes`` [fragment][true scene, predicted scene, others], shares in 0..1.
    """
    predictions = fuse(posteriors, fragments=fragment_fusion, channels=channel_fusion).argmax(-1)
    scores = fragment_scores(posteriors, channels=channel_fusion)
    votes = scores.argmax(axis=-1)
    right, total, num_scenes = predictions == labels, len(labels), scores.shape[-1]
    agreement = (votes == predictions[:, None]).mean(axis=1)
    effective = effective_fragments(scores, predictions)
    fragment_right = votes == labels[:, None]

    def concentration(chosen: np.ndarray) -> dict[str, Any]:
        known = bool(chosen.any())
        return {
            "recordings": int(chosen.sum()),
            "agreement": float(agreement[chosen].mean()) if known else None,
            "effective_fragments": float(effective[chosen].mean()) if known else None,
        }

    def pair(true: int, predicted: int) -> dict[str, Any]:
        theirs = votes[(labels == true) & (predictions == predicted)]
        for_true, for_predicted = theirs == true, theirs == predicted
        cast = np.stack([for_true, for_predicted, ~(for_true | for_predicted)], axis=-1)
        return {
            "true": true,
            "predicted": predicted,
            "recordings": len(theirs),
            "votes": cast.mean(axis=0).tolist(),
        }

    confused = confusion_matrix(labels, predictions, scene_count=num_scenes)
    np.fill_diagonal(confused, 0)
    most = np.argsort(-confused, axis=None, kind="stable")[:max_pairs].tolist()
    return {
        "fused": proportion(int(right.sum()), total),
        "by_position": [proportion(n, total) for n in fragment_right.sum(axis=0).tolist()],
        "oracle": proportion(int(fragment_right.any(axis=1).sum()), total),
        "oracle_of_guesses": 1 - (1 - 1 / num_scenes) ** votes.shape[1],
        "right": concentration(right),
        "wrong": concentration(~right),
        "pairs": [pair(*divmod(cell, num_scenes)) for cell in most if confused.flat[cell]],
    }
