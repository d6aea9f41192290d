"""Checkpoints of a run through Orbax: the last few and the best, restored exactly."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from ascjax.errors import UserError

# Orbax takes its own path for a glob pattern where it merges files, and TensorStore takes a
# backslash for a slash: such a checkpoint is saved in part and can't be restored.
_PATTERN_CHARACTERS = frozenset("[]*?\\")


def rank(numbers: dict[str, float]) -> tuple[float, float, float]:
    """Orders checkpoints: by validation accuracy, then loss, then the earlier step."""
    return numbers["validation/accuracy"], -numbers["validation/loss"], -numbers["step"]


class Checkpoints:
    """The checkpoints in a folder, by step. Saving continues in the background until ``wait``.

    Close it (``contextlib.closing``) on every way out: a save in flight is lost otherwise.

    Args:
      path: the folder; made if need be.
      keep: the number of latest checkpoints that are kept.
      ranked: they come with validation numbers, and the best by ``rank`` is kept too.
    """

    def __init__(self, path: Path, *, keep: int = 1, ranked: bool = True):
        self.path = Path(path).resolve()
        kept: list[Any] = [policies.LatestN(max(keep, 1))]
        if ranked:
            best = policies.BestN(get_metric_fn=rank, n=1, keep_checkpoints_without_metrics=False)
            kept.append(best)
        self.path.mkdir(parents=True, exist_ok=True)
        self._opened = contextlib.ExitStack()
        self._manager = ocp.CheckpointManager(
            self._opened.enter_context(_pattern_free(self.path)),
            # Without best_fn Orbax neither keeps numbers on disk nor reads them back; with it, it
            # warns of every checkpoint that has none.
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(kept),
                best_fn=rank if ranked else None,
                cleanup_tmp_directories=True,
            ),
        )

    def save(self, step: int, state: Any, numbers: dict[str, float]) -> None:
        """Saves a tree of arrays with validation ``numbers``, or {} where there are none."""
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.StandardSave(jax.tree.map(np.asarray, state)),
            metrics={**numbers, "step": step} if numbers else None,
            force=True,
        )

    def wait(self) -> None:
        """Returns once everything saved is on disk."""
        self._manager.wait_until_finished()

    def latest(self) -> int | None:
        """Returns the last step on disk, or None; waits, as Orbax counts a save in flight."""
        self.wait()
        return self._manager.latest_step()

    def best(self) -> int | None:
        """Returns the step on disk with the best validation numbers by ``rank``, or None."""
        self.wait()
        numbers = {step: self._manager.metrics(step) for step in self._manager.all_steps()}
        ranked = {step: rank(metrics) for step, metrics in numbers.items() if metrics}
        return max(ranked, key=lambda step: ranked[step]) if ranked else None

    def restore(self, step: int, like: Any) -> Any:
        """Returns the tree saved at ``step`` as NumPy arrays in the structure of ``like``.

        Raises:
          UserError: the checkpoint is damaged or of another shape.
        """
        shapes = jax.tree.map(lambda x: np.empty(np.shape(x), np.asarray(x).dtype), like)
        try:
            return self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
        except (ValueError, KeyError, OSError) as error:
            raise UserError(
                f"{self.path / str(step)}: cannot be restored ({_first_line(error)}); remove that "
                "folder to resume from the checkpoint before it, if there is one, or train in a "
                "new folder"
            ) from error

    def close(self) -> None:
        """Waits for saves and releases the folder."""
        with self._opened:
            self._manager.close()


def read(path: Path, like: Any) -> Any:
    """Returns part of the tree saved in ``path``, as NumPy arrays; writes nothing.

    Args:
      path: the folder of one checkpoint.
      like: the part: shapes, with a ``dtype``, under names of the tree.

    Raises:
      UserError: the checkpoint is missing, is damaged, or has another shape.
    """
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
    args = ocp.args.PyTreeRestore(like, restore_args=as_numpy, partial_restore=True)
    path = Path(path).resolve()
    try:
        with ocp.PyTreeCheckpointer() as checkpointer, _pattern_free(path) as folder:
            restored = checkpointer.restore(folder / "default", args=args)
        # Orbax returns what the checkpoint lacks as it was asked for.
        shapes = jax.tree.map(lambda x: isinstance(x, np.ndarray) and x.shape, restored)
        if shapes != jax.tree.map(lambda x: x.shape, like):
            raise ValueError("its arrays aren't those of the run's network")
    except (ValueError, KeyError, OSError) as error:
        raise UserError(
            f"{path}: cannot be restored ({_first_line(error)}); train again in a new folder"
        ) from error
    return restored


@contextlib.contextmanager
def _pattern_free(path: Path) -> Iterator[Path]:
    """Yields ``path``, or a temporary link to it where its name has pattern characters."""
    if not _PATTERN_CHARACTERS & set(str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ascjax-") as folder:
        link = Path(folder, "checkpoints")
        link.symlink_to(path, target_is_directory=True)
        yield link


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
