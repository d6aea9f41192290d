"""Several runs side by side, each a Ray task: the folds of a set, the rows of a sweep.

Ray places the tasks, and starts one again elsewhere whose process or machine has died; the run then
resumes from its last checkpoint. So the folders of runs, data and feature store must be the same
for all machines.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from ascjax.cluster.connection import connected
from ascjax.errors import UserError
from ascjax.files import Locked
from ascjax.runs import experiment, folds
from ascjax.runs.experiment import Report
from ascjax.runs.folds import PlannedRun
from ascjax.signals import Stopped, StopRequest

# Messages are all that goes through it.
_STORE_BYTES = 2**27
_POLL_S = 0.5
# A machine that Ray takes for dead may go on for a while, and holds its run as long.
_SECONDS_TO_DIE = 120
RETRIES = 3


@dataclass(frozen=True)
class Placement:
    """What each run is given.

    Attributes:
      cpus: processors; None for all of a machine's, or 1 beside a GPU.
      gpus: GPUs, or a share of one; None for one where the cluster has any.
      retries: how often it starts again after its process or machine has died.
    """

    cpus: int | None = None
    gpus: float | None = None
    retries: int = RETRIES

    def options(self, machines: list[dict[str, float]]) -> dict[str, Any]:
        """Returns a Ray task's options on machines of such resources.

        Raises:
          UserError: none of them has what a run is to be given.
        """
        gpus = self.gpus
        if gpus is None:
            gpus = float(any(machine.get("GPU") for machine in machines))
        cpus = self.cpus
        if cpus is None:
            of_each = [int(machine["CPU"]) for machine in machines if machine.get("CPU")]
            cpus = 1 if gpus or not of_each else min(of_each)
        if not any(m.get("CPU", 0) >= cpus and m.get("GPU", 0) >= gpus for m in machines):
            there = "; ".join(f"{m.get('CPU', 0):g} and {m.get('GPU', 0):g}" for m in machines)
            raise UserError(
                f"expected a machine with {cpus} processors and {gpus:g} GPUs for a run, this "
                f"cluster's have {there}; see --cpus_per_run and --gpus_per_run"
            )
        if gpus == 0:
            # What XLA takes the number of its threads from, on which the last bits depend.
            environment = {"NPROC": str(cpus), "JAX_PLATFORMS": "cpu"}
        elif gpus < 1:
            environment = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * gpus:.3f}"}
        else:
            environment = {}
        return {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "max_retries": self.retries,
            "runtime_env": {"env_vars": environment},
            "scheduling_strategy": "SPREAD",
        }


def train(
    runs: Sequence[PlannedRun],
    report: Report,
    then: Callable[[], Any] = lambda: None,
    *,
    address: str | None,
    placement: Placement,
) -> None:
    """Trains and tests the runs that aren't finished on a Ray cluster; as `folds.train`.

    Args:
      runs: taken up in this order.
      report: see `experiment.train`.
      then: called here after each run that was trained.
      address: see `connection.connected`.
      placement: what each run is given.

    Raises:
      UserError: a folder is not its run's, no cluster, or runs failed; each was reported as it
        happened.
      Stopped: Ctrl-C or SIGTERM; every run is saved.
    """
    todo = list(folds.unfinished(runs))
    failed = []
    with connected(address, store_bytes=_STORE_BYTES) as ray, StopRequest() as stop:
        options = placement.options([node["Resources"] for node in ray.nodes() if node["Alive"]])
        task = ray.remote(_train)
        pending = {
            task.options(name=run.name, **options).remote(run, report, os.getcwd()): (label, run)
            for label, run in todo
        }
        cancelled = False
        while pending:
            ready, _ = ray.wait(list(pending), timeout=_POLL_S)
            for reference in ready:
                label, run = pending.pop(reference)
                try:
                    error = ray.get(reference)
                except ray.exceptions.TaskCancelledError:
                    continue
                except ray.exceptions.RayTaskError as crash:  # none that was meant for a user
                    tqdm.write(str(crash))
                    error = str(crash).strip().splitlines()[-1]
                except ray.exceptions.RayError as crash:
                    error = str(crash).strip().splitlines()[0]
                if not (error or run.finished or stop.requested):
                    error = f"there is no result in {run.path.absolute()} on this machine"
                if error:
                    tqdm.write(f"{label} failed: {error}")
                    failed.append(run.name)
                elif run.finished:
                    tqdm.write(f"{label} is finished")
                    then()
            if stop.requested and not cancelled:
                tqdm.write(f"stopping {len(pending)} runs; each is saved first")
                for reference in pending:
                    ray.cancel(reference)  # to the run, as Ctrl-C
                cancelled = True
        stop.check(f"with {sum(run.finished for run in runs)} of {len(runs)} runs finished")
    folds.check_failed(failed, runs)


def _train(run: PlannedRun, report: Report, folder: str) -> str:
    """Trains a run in a Ray worker; returns why it failed, or nothing.

    Args:
      run, report: see `train`.
      folder: where the command was started, from which relative paths are meant.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        return (
            f"{folder}: expected on {socket.gethostname()} as well ({error.strerror}); start the "
            "command in a folder that all machines share"
        )
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while True:
        try:
            experiment.train(run.config, run.path, report)
        except Stopped:
            return ""
        except Locked as error:
            if time.monotonic() < deadline:
                time.sleep(1)
                continue
            return str(error)
        except UserError as error:
            return str(error)
        return ""
