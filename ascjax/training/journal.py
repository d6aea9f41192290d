"""What a run writes down as it goes: metrics.jsonl, TensorBoard events, a progress bar."""

import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ascjax.errors import UserError
from ascjax.files import write_text


class Journal:
    """Numbers of one run, from ``step`` on; what an interrupted try wrote after it is dropped.

    Args:
      path: the run folder.
      step: where the run goes on.
      num_steps: where it ends.
      fragments_per_step: for the rate that the progress bar shows.
    """

    def __init__(self, path: Path, *, step: int, num_steps: int, fragments_per_step: int):
        # Not above: it imports PyTorch where there is one, for seconds, and only trainings need it.
        from tensorboardX import SummaryWriter

        self._path = path / "metrics.jsonl"
        kept = [line for line in read_history(self._path) if line["step"] <= step]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._events = SummaryWriter(str(path / "events"), purge_step=step + 1 if step else None)
        self._fragments_per_step = fragments_per_step
        self._bar = tqdm(total=num_steps, initial=step, unit="step", desc="train", mininterval=0.5)

    def tick(self, step: int) -> None:
        """Moves the progress bar to ``step``."""
        self._bar.update(step - self._bar.n)
        rate = self._bar.format_dict["rate"]
        if rate:
            fragments = rate * self._fragments_per_step
            self._bar.set_postfix_str(f"{fragments:.0f} fragments/s", refresh=False)

    def event(self, step: int, numbers: dict[str, float]) -> None:
        """Writes numbers to the event file alone."""
        for name, value in numbers.items():
            self._events.add_scalar(name, value, step)

    def epoch(self, step: int, epoch: int, numbers: dict[str, float]) -> None:
        """Writes an epoch's numbers to both files and says the main ones."""
        self.event(step, numbers)
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **numbers}) + "\n")
        said = f"epoch {epoch}: loss {numbers['train/loss']:.3f}"
        said += f", accuracy {100 * numbers['train/accuracy']:.1f} %"
        if "validation/accuracy" in numbers:
            said += f", validation {100 * numbers['validation/accuracy']:.1f} %"
        tqdm.write(f"{said}, {numbers['seconds']:.1f} s")

    def close(self) -> None:
        """Ends the bar and flushes the event file."""
        self._bar.close()
        self._events.close()


def read_history(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of metrics.jsonl, one an epoch and in order; none if there is no file.

    Of an epoch that a resumed run has repeated, the last entry counts; a last line without its end
    was being written when the run was killed, and does not count.

    Raises:
      UserError: a line is damaged; the message gives its number.
    """
    if not path.exists():
        return []
    by_epoch = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            by_epoch[entry["epoch"]] = entry
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: expected JSON with the key epoch, got {error!r}; "
                "remove that line and try again"
            ) from None
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]
