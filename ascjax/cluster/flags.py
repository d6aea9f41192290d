"""Flags of commands that can run on a Ray cluster; Ray itself is imported elsewhere."""

import argparse
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ascjax import cli
from ascjax.errors import UserError

_NEED_RAY = ("address", "cpus_per_run", "gpus_per_run", "retries", "per_part", "again")


def add_placement(parser: cli.Parser) -> Callable[..., Any]:
    """Adds --on and --address; returns ``add_argument`` of their group."""
    add = parser.add_argument_group("on a Ray cluster").add_argument
    add("--on", choices=["ray"], help="run on Ray, not in this process; needs ascjax[cluster]")
    add("--address", metavar="HOST:PORT",
        help="of the cluster's head; default: $RAY_ADDRESS, else a cluster of this machine "
        "alone")  # fmt: skip
    return add


def add_runs(parser: cli.Parser) -> None:
    """Adds the flags of commands that train several runs."""
    add = add_placement(parser)
    add(
        "--cpus_per_run",
        type=cli.count,
        metavar="N",
        help="processors of each run; default: all of a machine, or 1 beside a GPU",
    )
    add("--gpus_per_run", type=_share_of_gpus, metavar="X",
        help="GPUs of each run, or a share, e.g. 0.5; default: 1 where there are any")  # fmt: skip
    add("--retries", type=_not_negative, metavar="N",
        help="how often a run whose process or machine died starts again; default: 3")  # fmt: skip


def add_processes(parser: cli.Parser) -> None:
    """Adds the flags of one training over several processes."""
    add = parser.add_argument_group(
        "over several processes (not needed under Slurm or Open MPI, or on TPU pods)"
    ).add_argument
    add("--coordinator", metavar="HOST:PORT",
        help="of process 0, with a port that is free there")  # fmt: skip
    add("--num_processes", type=cli.count, metavar="N", help="how many there are")
    add("--process_id", type=int, metavar="I", help="which one this is, from 0")


def check(options: argparse.Namespace) -> None:
    """Raises UserError for a flag that needs --on=ray without it."""
    for name in _NEED_RAY:
        if options.on is None and getattr(options, name, None) is not None:
            raise UserError(f"--{name}: goes with --on=ray")


def trainer(options: argparse.Namespace) -> Callable[..., None]:
    """Returns what trains several runs where ``options`` say: `folds.train`, here or on Ray."""
    if options.on is None:
        from ascjax.runs import folds

        return folds.train
    from ascjax.cluster import runs

    placement = runs.Placement(
        cpus=options.cpus_per_run,
        gpus=options.gpus_per_run,
        retries=runs.RETRIES if options.retries is None else options.retries,
    )
    return partial(runs.train, address=options.address, placement=placement)


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {value}")
    return value


def _share_of_gpus(text: str) -> float:
    value = float(text)
    # Ray's rule: below one, a share of a GPU; above, whole ones.
    if not 0 <= value < math.inf or (value > 1 and value != int(value)):
        raise argparse.ArgumentTypeError(f"expected a share of a GPU or a whole number, got {text}")
    return value
