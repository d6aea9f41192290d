"""Training log: metrics.jsonl, TensorBoard events, progress bar."""

import json
import math
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ascjax.errors import UserError
from ascjax.files import append, read_bytes, write_text
from ascjax.training.events import EventFile
from ascjax.words import duration

# Seconds between lines of progress where there is no terminal for a bar.
_PROGRESS_PERIOD_S = 60


class TrainingLog:
    """The log of one run from ``step`` on; what an interrupted try wrote after it is dropped.

    Args:
      path: the run folder.
      step: where the run resumes, or 0.
      num_steps: where it ends.
      steps_per_epoch: steps of an epoch.
      batch_size: fragments of a step, for the rate that the progress bar shows.
    """

    def __init__(
        self, path: Path, *, step: int, num_steps: int, steps_per_epoch: int, batch_size: int
    ):
        self._path = path / "metrics.jsonl"
        kept = [line for line in read_history(self._path) if line["step"] <= step]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._events = EventFile(path / "events", first_step=step + 1)
        self._num_steps = num_steps
        self._num_epochs = num_steps // steps_per_epoch
        self._batch_size = batch_size
        # Step and time of the last line; the pace since then gives the time that is left.
        self._line_step, self._line_s, self._pace = step, time.monotonic(), 0.0
        # tqdm's None: no bar where stderr is no terminal.
        self._bar = tqdm(
            total=num_steps, initial=step, unit="step", desc="train", mininterval=0.5, disable=None
        )

    def progress(self, step: int) -> None:
        """Moves the progress bar to ``step``; without a terminal, prints a line each minute."""
        if self._bar.disable:
            if time.monotonic() - self._line_s >= _PROGRESS_PERIOD_S:
                rate = self._steps_per_s(step) * self._batch_size
                left = self._time_left(step)
                tqdm.write(f"step {step} of {self._num_steps}, {rate:.3g} fragments/s, {left}")
                self._line_step, self._line_s = step, time.monotonic()
            return
        self._bar.update(step - self._bar.n)
        if rate := self._bar.format_dict["rate"]:
            self._bar.set_postfix_str(f"{rate * self._batch_size:.3g} fragments/s", refresh=False)

    def scalars(self, step: int, numbers: dict[str, float]) -> None:
        """Writes numbers to the event file alone."""
        self._events.scalars(step, numbers)

    def epoch(self, step: int, epoch: int, numbers: dict[str, float]) -> None:
        """Writes an epoch's numbers to both files and prints the main ones."""
        self.scalars(step, numbers)
        entry = {"step": step, "epoch": epoch, **numbers}
        append(self._path, f"{json.dumps(entry)}\n".encode())
        line = f"epoch {epoch} of {self._num_epochs}: loss {numbers['train/loss']:.3f}"
        line += f", accuracy {100 * numbers['train/accuracy']:.1f} %"
        if "validation/accuracy" in numbers:
            line += f", validation {100 * numbers['validation/accuracy']:.1f} %"
        line += f", {numbers['seconds']:.1f} s"
        tqdm.write(line if step == self._num_steps else f"{line}, {self._time_left(step)}")
        self._line_step, self._line_s = step, time.monotonic()

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()

    def _steps_per_s(self, step: int) -> float:
        """Returns the pace since the last line; of that line if no step was taken since."""
        if step > self._line_step:
            seconds = max(time.monotonic() - self._line_s, 1e-9)
            self._pace = (step - self._line_step) / seconds
        return self._pace

    def _time_left(self, step: int) -> str:
        pace = self._steps_per_s(step)
        seconds = (self._num_steps - step) / pace if pace else 0.0
        return f"{duration(seconds)} left"


class NoLog(TrainingLog):
    """The log of every process but the first of several."""

    def __init__(self) -> None:
        """Opens nothing."""

    def progress(self, step: int) -> None:
        """Does nothing, as all below."""

    def scalars(self, step: int, numbers: dict[str, float]) -> None:
        """Does nothing."""

    def epoch(self, step: int, epoch: int, numbers: dict[str, float]) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def read_history(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of metrics.jsonl, one an epoch and in order; none if there is no file.

    Of an epoch that a resumed run has repeated, the last entry counts; a last line without its end
    was being written when the run was killed, and does not count.

    Raises:
      UserError: it can't be read, or a line is damaged; the message gives its number.
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); move it away and try again"
        ) from None
    by_epoch = {}
    *lines, _ = content.split(b"\n")  # the last is empty, or a line without its end
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not _is_entry(entry):
            raise UserError(
                f"{path}, line {number}: expected a JSON object of numbers, with whole numbers "
                f"step and epoch, and seconds from 0, got {line[:60]!r}; remove that line and "
                "try again"
            )
        by_epoch[entry["epoch"]] = entry
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _is_entry(entry: Any) -> bool:
    # A bool is an int in Python, and no number in JSON: hence no isinstance.
    return (
        isinstance(entry, dict)
        and all(type(entry.get(key)) is int for key in ("step", "epoch"))
        and all(type(value) in (int, float) for value in entry.values())
        and all(type(value) is float or abs(value) < 2**63 for value in entry.values())
        and 0 <= entry.get("seconds", -1) < math.inf
    )
