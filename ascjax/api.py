"""Functions of the public API that join several rooms."""

import os
from typing import Any

from jaxtyping import PyTree
from ml_collections import ConfigDict

from ascjax import config as configs
from ascjax.errors import UserError
from ascjax.files import as_path
from ascjax.models import weights
from ascjax.report import report
from ascjax.runs import experiment
from ascjax.runs.run import Run


def train(
    config: ConfigDict | str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    **overrides: Any,
) -> Run:
    """Trains and tests a network; the same call resumes a run that was stopped.

    Args:
      config: a config, its file, or the name of one that comes with ascjax, e.g. ``vgg_mlp``.
      workdir: the run folder: new, empty, or that of the same config.
      **overrides: leaves by dotted key, e.g. ``**{"data.root": "recordings", "seed": 1}``.

    Returns:
      The finished run; its folder holds report.html.

    Raises:
      UserError: a mistake in the config, the data or the folder.
      Stopped: Ctrl-C or SIGTERM; everything done is saved.
    """
    if isinstance(config, ConfigDict):
        made = config.copy_and_resolve_references()
    elif isinstance(config, str | os.PathLike):
        made = configs.load_config(os.fspath(config))
    else:
        raise UserError(f"config: expected a ConfigDict, a file or a name, got {config!r:.60}")
    known = configs.flatten(made.to_dict())
    for key in overrides:
        if key not in known:
            raise UserError(f"config has no key {key!r}{configs.nearest_key(key, list(known))}")
    # A value of a wrong type is refused with its key when the config is checked.
    with made.ignore_type():
        made.update_from_flattened_dict(overrides)
    return experiment.train(made, as_path(workdir), report.write)


def load_weights(
    variables: PyTree,
    path: str | os.PathLike[str],
    *,
    trunk: str,
    input_channel: str = "sum",
) -> PyTree:
    """Returns a network's variables with its trunk's replaced by converted weights.

    Args, Raises: see `models.weights.init_from`.
    """
    return weights.init_from(variables, as_path(path), trunk=trunk, input_channel=input_channel)
