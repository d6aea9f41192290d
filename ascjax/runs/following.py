"""The validated run that a run of the protocol "all" follows: its length and its calibration."""

from dataclasses import replace
from typing import NamedTuple

from ml_collections import ConfigDict

from ascjax.config import FREE, differences
from ascjax.errors import UserError
from ascjax.runs.info import Followed
from ascjax.runs.run import Run
from ascjax.scoring.calibration import Calibration
from ascjax.training.journal import read_history

# What may differ from the run that is followed: which recordings it saw, and chance.
_FREE = (
    *FREE, "data.fold", "data.split", "data.validation_fraction", "data.validation_seed",
    "protocol", "seed", "train.from_run",
)  # fmt: skip


class Following(NamedTuple):
    """The run that is followed, and its calibration."""

    run: Followed
    calibration: Calibration


def follow(config: ConfigDict) -> Following | None:
    """Returns the run that a config follows; None but under the protocol all.

    Raises:
      UserError: it isn't a finished run of the protocol validated, or has other settings.
    """
    if config.protocol != "all":
        return None
    run = Run.open(config.train.from_run)
    calibration = run.trained.calibration
    if run.info.protocol != "validated" or calibration is None:
        raise UserError(
            f"config.train.from_run: expected a run of the protocol validated, {run.path} is of "
            f"the protocol {run.info.protocol}"
        )
    differing = differences(run.config, config.to_dict(), _FREE)
    if differing:
        raise UserError(
            f"config.train.from_run: {run.path} has other settings: {differing}; give the same, or "
            "validate these first"
        )
    history = read_history(run.path / "metrics.jsonl")
    epochs = next((line["epoch"] for line in history if line["step"] == run.trained.step), None)
    if epochs is None:
        raise UserError(
            f"config.train.from_run: {run.path / 'metrics.jsonl'} has no line for step "
            f"{run.trained.step}, the one that was kept; take a run whose log is whole"
        )
    followed = Followed(
        run=run.path.resolve().name,
        model_sha256=run.trained.model_sha256,
        recordings=run.info.recordings.train,
        epochs=epochs,
        accuracy=run.results.accuracy,
    )
    part = f"{calibration.part} recordings of the run {followed.run}"
    return Following(followed, replace(calibration, part=part))
