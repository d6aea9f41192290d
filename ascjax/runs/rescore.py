"""A finished run scored otherwise: other fusions and channels, or other fragments at the test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ascjax.errors import UserError
from ascjax.files import as_path
from ascjax.runs.folder import RESULTS_FORMAT, TRAIN_AGAIN
from ascjax.runs.run import Run
from ascjax.scoring.clusters import ClusteredMcNemar, known, mcnemar_clustered
from ascjax.scoring.rates import Proportion
from ascjax.scoring.results import Decisions, Results
from ascjax.scoring.significance import McNemar, mcnemar

if TYPE_CHECKING:
    from ascjax.data.batches import Fragments


@dataclass(frozen=True, kw_only=True, repr=False)
class Rescored(Results):
    """Results of a run's test part as they would have been, beside the run's own.

    Attributes:
      run: its folder.
      step: of the checkpoint.
      own_accuracy, own_decisions: the run's.
      mcnemar: this against the run's own.
      mcnemar_by_location: likewise, where locations are known.
    """

    format: int = RESULTS_FORMAT
    run: str
    step: int
    own_accuracy: Proportion
    own_decisions: Decisions
    mcnemar: McNemar
    mcnemar_by_location: ClusteredMcNemar | None = None


def rescore(
    run: Run,
    *,
    fusion: str | None = None,
    channel_fusion: str | None = None,
    channels: Sequence[str] | str | None = None,
    test_fragments: int | None = None,
    data_root: str | None = None,
) -> Rescored:
    """Returns the results of a finished run's test part as they would have been otherwise.

    Args:
      run: nothing is written into its folder.
      fusion, channel_fusion, channels: see `Run.rescore`.
      test_fragments: N_s at the test; the model is run, on the data set.
      data_root: where the data set is now, if not where the run's config says.

    Raises:
      UserError: an unknown name; fragments too short for the trunk; the data set isn't there or
        isn't the same.
    """
    posteriors = None
    if test_fragments is not None:
        posteriors = run_model(run, fragments=test_fragments, data_root=data_root)
    results = run.rescore(
        fusion=fusion, channel_fusion=channel_fusion, channels=channels, posteriors=posteriors
    )
    right, locations = (results.right, run.results.right), results.decisions.location
    return Rescored(
        **vars(results),
        run=str(run.path),
        step=run.results.step,
        own_accuracy=run.results.accuracy,
        own_decisions=run.results.decisions,
        mcnemar=mcnemar(*right),
        mcnemar_by_location=mcnemar_clustered(*right, locations) if known(locations) else None,
    )


def run_model(run: Run, *, fragments: int, data_root: str | None = None) -> np.ndarray:
    """Returns a run's test posteriors with recordings cut into other ``fragments``.

    Args:
      run: a finished run.
      fragments: N_s, at least 1.
      data_root: where the data set is, if not where the run's config says.

    Returns:
      float32 [recording, channel, fragment, scene], recordings in the run's order.

    Raises:
      UserError: as `rescore`.
    """
    if fragments < 1:
        raise UserError(f"--test_fragments: expected 1 or more, got {fragments}")
    # JAX takes seconds to import; stored posteriors need none of it.
    from ml_collections import ConfigDict

    from ascjax import setup as setups
    from ascjax.data import cutting
    from ascjax.signals import StopRequest

    config = ConfigDict(run.config)
    try:
        setups.check(config)
    except UserError as error:
        raise UserError(f"{run.path / 'config.json'}: {error}; {TRAIN_AGAIN}") from None
    config.fragments.count = fragments
    # As the set was read: nothing is guessed, or synthesised, from another folder.
    config.data.layout = run.info.data.layout
    config.data.duration_s = run.info.duration_s
    root = config.data.root = data_root or config.data.root
    if not as_path(root).exists():
        raise UserError(
            f"config.data.root: {root} isn't there; pass --data_root=DIR, where the run's data set "
            "is now"
        )
    with StopRequest() as stop:
        setup = setups.Setup(config, setups.survey(config, stop))
        _ = setup.input_shape
        data = setup.extract(stop, run.info.left_out)
    tested, groups = cutting.group([data.dataset.recordings[i] for i in data.test.indices])
    stored = run.test_posteriors
    scenes = [run.info.scenes[label] for label in stored.label]
    same = [(each.name, each.scene) for each in tested] == list(
        zip(stored.recording.tolist(), scenes, strict=True)
    )
    if not same or setup.front_end.to_dict() != run.info.front_end:
        raise UserError(
            f"config.data.root: the test part of {root} isn't what the run was tested on; pass "
            "--data_root=DIR, where that is"
        )
    return cutting.average(evaluate(run, data.test), groups)


def evaluate(run: Run, part: "Fragments") -> np.ndarray:
    """Returns a run's posteriors of a part, [recording, channel, fragment, scene]."""
    from ascjax.runs.network import restore

    return restore(run, part.count).of_part(part)[0]
