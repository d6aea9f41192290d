"""Which of the processes of one training this is, as flags or the environment say."""

import argparse
import os
import warnings
from typing import NamedTuple

from ascjax.errors import UserError, first_line

SECONDS_TO_COME = 60


class Place(NamedTuple):
    """Where the first process is found, how many there are, and which one this is.

    ``detected`` if JAX has found it in the environment.
    """

    coordinator: str
    num_processes: int
    process_id: int
    detected: bool = False


def place(options: argparse.Namespace) -> Place | None:
    """Returns this process's place among several; None where it is the only one.

    Raises:
      UserError: some of the flags are there and others not, or they can't be right.
    """
    given = {
        name: getattr(options, name) for name in ("coordinator", "num_processes", "process_id")
    }
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if len(missing) == 3:
        return _detected()
    if missing:
        raise UserError(
            f"expected {' and '.join(missing)} as well: --coordinator, --num_processes and "
            "--process_id go together"
        )
    host, _, port = options.coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--coordinator={options.coordinator}: expected HOST:PORT of process 0")
    if options.process_id not in range(options.num_processes):
        raise UserError(
            f"--process_id={options.process_id}: expected 0 to {options.num_processes - 1}, as "
            f"there are {options.num_processes} processes"
        )
    return Place(**given) if options.num_processes > 1 else None


def _detected() -> Place | None:
    """Returns what JAX finds under Slurm, Open MPI, Kubernetes or on TPU pods."""
    from jax._src.clusters import ClusterEnv

    try:
        with warnings.catch_warnings():
            # In any pod of Kubernetes without its package, also where there is one process.
            warnings.simplefilter("ignore")
            known = [each for each in ClusterEnv._cluster_types if not each.opt_in_only_method]
            found = next((each for each in known if each.is_env_present()), None)
        if found is None or (count := found.get_process_count()) == 1:
            return None
        port = os.environ.get("JAX_COORDINATOR_PORT")
        coordinator = found.get_coordinator_address(SECONDS_TO_COME, port)
        return Place(coordinator, count, found.get_process_id(), detected=True)
    except Exception as error:  # as of a pod that may not ask, or isn't one of a job's
        print(f"training in this process alone, as JAX can't tell others: {first_line(error)}")
        return None
