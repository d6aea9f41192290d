"""A linear probe: logistic regression on fixed features, its strength chosen within training.

G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ascjax.data import splits
from ascjax.errors import UserError

# scikit-learn's C, the inverse of the penalty's weight, on features of deviation 1.
STRENGTHS = tuple(10.0**power for power in range(-5, 2))
INNER_FOLDS = 5


def inner_folds(scenes: Sequence[str], locations: Sequence[str]) -> list[int]:
    """Returns the inner fold of each training recording, balanced by scene, disjoint in location.

    Raises:
      UserError: a scene's locations are too few: without one inner fold none of it is left.
    """
    folds = splits.assign(scenes, splits.groups(locations), num_folds=INNER_FOLDS)
    for scene in sorted(set(scenes)):
        if len({fold for each, fold in zip(scenes, folds, strict=True) if each == scene}) < 2:
            raise UserError(
                f"scene {scene!r} has one location in the training part: a probe's strength is "
                "chosen on other locations than it is fitted to, so it needs two; add recordings "
                "or leave the scene out with --config.data.scenes"
            )
    return folds


def predict(
    train: Float[np.ndarray, "recording feature"],
    labels: Int[np.ndarray, " recording"],
    folds: Sequence[int],
    test: Float[np.ndarray, "tested feature"],
) -> tuple[Float[np.ndarray, "tested scene"], float]:
    """Fits a probe to the training part and applies it to the test part.

    Features are standardised by the training recordings' mean and deviation. Of ``STRENGTHS`` the
    one of least log loss over the inner folds is taken.

    Args:
      train: features of the training part.
      labels: its scenes, each at least in two inner folds.
      folds: the inner fold of each training recording.
      test: features of the test part.

    Returns:
      Scores of the test part, and the strength C chosen.
    """
    # It takes a second to import.
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, make_scorer
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    # Of ten scenes, weak penalties take some thousand iterations.
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=20_000))
    search = GridSearchCV(
        probe,
        {"logisticregression__C": STRENGTHS},
        # An inner fold needn't have every scene.
        scoring=make_scorer(
            log_loss,
            greater_is_better=False,
            response_method="predict_proba",
            labels=np.unique(labels),
        ),
        cv=PredefinedSplit(folds),
    )
    # Of products this small, threads spend most of the time on waiting for each other.
    with threadpool_limits(1):
        search.fit(train.astype(np.float64), labels)
    scores = search.predict_proba(test.astype(np.float64))
    return scores, float(search.best_params_["logisticregression__C"])
