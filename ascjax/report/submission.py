"""Submissions to DCASE 2018 task 1, as its baseline and its leaderboard write them."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ascjax.errors import UserError
from ascjax.files import writing


@dataclass(frozen=True)
class Submission:
    """How a submission is written.

    As the organisers' own baseline does: github.com/DCASE-REPO/dcase2018_baseline, task1/utils.py,
    save_system_output.

    Attributes:
      delimiter: between a file's name and its scene.
      header: rows before the first.
      name: of a file in the submission.
    """

    delimiter: str
    header: list[tuple[str, str]]
    name: Callable[[Path], str]

    def check_names(self, files: Iterable[Path]) -> None:
        """Raises UserError if two files would have the same name."""
        for name, count in Counter(map(self.name, files)).most_common(1):
            if count > 1:
                raise UserError(
                    f"--submission: {count} files would be called {name!r} in it; give a folder in "
                    "which each name is there once"
                )

    def write(self, path: Path, rows: Iterable[tuple[Path, str]]) -> None:
        """Writes the scene of each file; raises UserError if the file can't be written."""
        with writing(path) as file:
            table = csv.writer(file, delimiter=self.delimiter, lineterminator="\n")
            table.writerows(self.header)
            table.writerows((self.name(path), scene) for path, scene in rows)


# The challenge's system output, and its public leaderboard's on Kaggle.
SUBMISSIONS = {
    "dcase": Submission("\t", [], lambda file: f"audio/{file.name}"),
    "kaggle": Submission(",", [("Id", "Scene_label")], lambda file: file.stem),
}
