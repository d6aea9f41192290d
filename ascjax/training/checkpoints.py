"""Checkpoints of a run through Orbax: the last few and the best, verified when they are restored.

Of several processes the first one writes and reads them; all make the same calls, which tell all
the same.

A folder STEP is a checkpoint: Orbax's files, which hold the CRC-32 of each array in their metadata,
and, once the epoch that it ends has been validated and logged, validation.json. ``STEP.damaged``
was found to be damaged and is kept aside.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from ascjax.compute import processes
from ascjax.errors import UserError
from ascjax.files import write_json
from ascjax.training.arrays import TEMPORARY, ArrayFiles, DamagedCheckpoint, sealed, unsealed

_NUMBERS = "validation.json"


def rank(numbers: dict[str, float]) -> tuple[float, float, float]:
    """Orders checkpoints: by validation accuracy, then loss, then the earlier step."""
    return numbers["validation/accuracy"], -numbers["validation/loss"], -numbers["step"]


class Checkpoints:
    """The checkpoints in a folder, by step.

    They are written in a thread, in order; ``check`` and ``wait`` raise what went wrong there.
    Close it (``contextlib.closing``) on every way out: a save in flight is lost otherwise.

    Args:
      path: the folder; made if need be.
      keep: the number of latest checkpoints that are kept, besides the best by ``rank``.
    """

    def __init__(self, path: Path, *, keep: int = 1):
        self.path = Path(path).resolve()
        self._keep = max(keep, 1)
        self._pending: list[Future] = []
        self._first = processes.first()
        if self._first:
            self.path.mkdir(parents=True, exist_ok=True)
            self._files = ArrayFiles(self.path)
            self._thread = ThreadPoolExecutor(1, "ascjax-save")
            self._remove_leftovers()

    def save(self, step: int, state: Any) -> None:
        """Saves a tree of arrays, unless there is a checkpoint of this step."""
        self._submit(self._write, step, jax.tree.map(np.asarray, state))

    def end_epoch(self, step: int, numbers: dict[str, float]) -> None:
        """Notes that the epoch that ends with ``step`` is validated and logged.

        Args:
          step: of a checkpoint.
          numbers: of the validation; {} where there is none.
        """
        self._submit(self._note, step, numbers)

    def check(self) -> None:
        """Raises UserError if a checkpoint could not be written."""
        while self._pending and self._pending[0].done():
            self._pending.pop(0).result()

    def wait(self) -> None:
        """Returns once everything saved is on disk; raises as ``check``."""
        while self._pending:
            self._pending.pop(0).result()

    def steps(self) -> list[int]:
        """Returns the steps on disk in order; waits for those in flight."""
        self.wait()
        return processes.from_first(self._steps())

    def latest(self) -> int | None:
        """Returns the last step on disk, or None."""
        return max(self.steps(), default=None)

    def best(self) -> int | None:
        """Returns the step on disk with the best validation numbers by ``rank``, or None.

        Raises:
          UserError: a checkpoint's numbers are damaged.
        """
        self.wait()
        return processes.from_first(self._best())

    def ended(self, step: int) -> bool:
        """Whether ``end_epoch`` was called for a step on disk, and is sound."""
        try:
            ended = self._numbers(step) is not None
        except UserError:
            ended = False
        return processes.from_first(ended)

    def resume(self, like: Any) -> tuple[int, Any] | None:
        """Returns the last sound checkpoint's step and tree, or None; sets damaged ones aside.

        Args:
          like: as in ``restore``.

        Raises:
          UserError: the checkpoint is another network's.
        """
        found = self._last_sound(like) if self._first else None
        step = processes.from_first(found and found[0])
        return None if step is None else (step, processes.broadcast(found[1] if found else like))

    def _last_sound(self, like: Any) -> tuple[int, Any] | None:
        self.wait()
        for step in reversed(self._steps()):
            try:
                return step, self._files.read(str(step), like)
            except DamagedCheckpoint as error:
                aside = self.path / f"{step}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self.path / str(step)).rename(aside)
                before = max(self._steps(), default=None)
                then = "the start" if before is None else f"step {before}"
                tqdm.write(f"{error}; it is now {aside.name}, and the run resumes from {then}")
        return None

    def restore(self, step: int, like: Any) -> Any:
        """Returns the tree saved at ``step`` as NumPy arrays in the structure of ``like``.

        Raises:
          DamagedCheckpoint: its values aren't those that were saved.
          UserError: its arrays aren't those of ``like``.
        """
        return processes.broadcast(self._files.read(str(step), like) if self._first else like)

    def close(self) -> None:
        """Waits for saves and releases the folder."""
        if self._first:
            self._thread.shutdown()
            self._files.close()

    def _submit(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._first:
            self._pending.append(self._thread.submit(function, *arguments))

    def _write(self, step: int, state: Any) -> None:
        if (self.path / str(step)).exists():
            return
        try:
            self._files.write(str(step), state)
        finally:
            self._remove_leftovers()
        self._prune()

    def _note(self, step: int, numbers: dict[str, float]) -> None:
        if (self.path / str(step)).exists():
            write_json(self.path / str(step) / _NUMBERS, sealed({**numbers, "step": step}))
            self._prune()

    def _steps(self) -> list[int]:
        if not self._first:
            return []
        return sorted(int(path.name) for path in self.path.iterdir() if path.name.isdecimal())

    def _best(self) -> int | None:
        noted = {step: self._numbers(step) for step in self._steps()}
        ranked = {s: rank(numbers) for s, numbers in noted.items() if numbers and len(numbers) > 1}
        return max(ranked, key=ranked.__getitem__, default=None)

    def _numbers(self, step: int) -> dict[str, float] | None:
        path = self.path / str(step) / _NUMBERS
        if not path.exists():
            return None
        try:
            return unsealed(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}: damaged; remove {self.path} to train the run again to the same result, "
                f"or {path.parent} to choose among the other checkpoints"
            ) from None

    def _prune(self) -> None:
        """Removes all but the latest and the best."""
        steps = self._steps()
        for step in set(steps) - {*steps[-self._keep :], self._best()}:
            # Renamed first: what is removed in part would look like a checkpoint.
            path = self.path / str(step)
            path.rename(path.with_name(f"{step}.deleted"))
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        for pattern in ("*.deleted", TEMPORARY):
            for path in self.path.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
