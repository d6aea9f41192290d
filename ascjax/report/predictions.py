"""Predictions as text: an aligned table, CSV, JSON lines, and labels for Audacity and Raven."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ascjax.report.text import label, percent, plain_cell
from ascjax.runs.verdict import UNKNOWN, Prediction, Scored


@dataclass(frozen=True)
class Columns:
    """What is written of each prediction.

    Attributes:
      scenes: of the classifier, in order.
      timeline: whether predictions are windows, with start and end.
      by: ``fragment``, ``channel``, or both, if those are scored alone.
      top: how many scores, the largest first; None for all, in order of ``scenes``.
      set_threshold: of the prediction sets (`Scored.scene_set`), or None for no sets.
      name_width: of the longest file name.
    """

    scenes: Sequence[str]
    timeline: bool = False
    by: Collection[str] = ()
    top: int | None = None
    set_threshold: float | None = None
    name_width: int = 0

    def scene_set(self, scored: Scored) -> tuple[str, ...]:
        """Returns the prediction set; empty where none is wanted."""
        return () if self.set_threshold is None else scored.scene_set(self.set_threshold)

    @property
    def parts(self) -> list[str]:
        """Those of ``fragment`` and ``channel`` that are in ``by``."""
        return [name for name in ("fragment", "channel") if name in self.by]


class Form(ABC):
    """One way of writing predictions; every method returns whole lines."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def header(self) -> str:
        """Returns what comes before the first prediction."""
        return ""

    @abstractmethod
    def row(self, name: str, scored: Scored) -> str:
        """Returns the lines of a prediction, of the recording of that name."""


class Table(Form):
    """Columns of a fixed width, so that each row is written as soon as it is known.

    Without ``top``, of the scores only the largest.
    """

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        longest = max(len(label(scene)) for scene in columns.scenes)
        # "unknown (low score)" is the longest of its kind.
        scene = max(longest, len(f"{UNKNOWN} (low score)"))
        self._widths = [max(4, columns.name_width)]
        self._widths += [9, 9] if columns.timeline else []
        self._widths += [len(part) for part in columns.parts]
        self._widths += [scene, 7]
        self._widths += [longest, 7] * ((columns.top or 1) - 1)

    def header(self) -> str:
        """Returns the names of the columns."""
        columns = self.columns
        names = ["file", *(["start", "end"] if columns.timeline else []), *columns.parts]
        names += ["scene", "score"] + ["next", "score"] * ((columns.top or 1) - 1)
        return self._line([*names, *(["set"] if columns.set_threshold is not None else [])])

    def row(self, name: str, scored: Scored) -> str:
        """Returns one line."""
        columns = self.columns
        cells = [name]
        if columns.timeline:
            cells += [clock(scored.start_s), clock(scored.end_s)]
        cells += [str(getattr(scored, part)) for part in columns.parts]
        first, *others = scored.top(columns.top or 1).items()
        answer = f"{UNKNOWN} ({scored.unknown})" if scored.unknown else label(first[0])
        cells += [answer, percent(first[1])]
        for scene, score in others:
            cells += [label(scene), percent(score)]
        if columns.set_threshold is not None:
            cells.append(", ".join(map(label, columns.scene_set(scored))) or "–")
        return self._line(cells)

    def _line(self, cells: Sequence[str]) -> str:
        widths = [*self._widths, 0][: len(cells)]
        numeric = [cell == "score" or cell.endswith(" %") for cell in cells]
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip() + "\n"


class Csv(Form):
    """Comma-separated values; names that a spreadsheet would take for formulas begin with ``'``."""

    def header(self) -> str:
        """Returns the names of the columns."""
        columns = self.columns
        names = ["file", *(["start_s", "end_s"] if columns.timeline else []), *columns.parts]
        names += ["scene", "score", "unknown"]
        names += ["set"] if columns.set_threshold is not None else []
        if columns.top is None:
            return _csv([*names, *columns.scenes])
        ranks = range(1, columns.top + 1)
        return _csv([*names, *(f"{what}_{k}" for k in ranks for what in ("scene", "score"))])

    def row(self, name: str, scored: Scored) -> str:
        """Returns one line."""
        columns = self.columns
        cells: list[str] = [name]
        if columns.timeline:
            cells += [f"{scored.start_s:.3f}", f"{scored.end_s:.3f}"]
        cells += [str(getattr(scored, part)) for part in columns.parts]
        cells += [scored.scene, f"{scored.score:.6f}", scored.unknown]
        if columns.set_threshold is not None:
            cells.append("|".join(columns.scene_set(scored)))
        if columns.top is None:
            cells += [f"{scored.scores[scene]:.6f}" for scene in columns.scenes]
        else:
            for scene, score in scored.top(columns.top).items():
                cells += [scene, f"{score:.6f}"]
        return _csv(cells)


class JsonLines(Form):
    """A JSON object on each line.

    Keys: ``file``, ``start_s``, ``end_s``, ``scene`` (or ``unknown``), ``score``, ``unknown`` (why,
    or null), ``scores`` by scene; ``windows`` and ``note`` of a whole recording; ``fragment``,
    ``channel`` and ``set`` where they are asked for.
    """

    def row(self, name: str, scored: Scored) -> str:
        """Returns one line."""
        columns = self.columns
        content: dict[str, object] = {
            "file": name,
            "start_s": round(scored.start_s, 3),
            "end_s": round(scored.end_s, 3),
            **{part: getattr(scored, part) for part in columns.parts},
            "scene": scored.scene,
            "score": round(scored.score, 6),
            "unknown": scored.unknown or None,
        }
        if columns.set_threshold is not None:
            content["set"] = columns.scene_set(scored)
        scores = scored.scores if columns.top is None else scored.top(columns.top)
        content["scores"] = {scene: round(score, 6) for scene, score in scores.items()}
        if isinstance(scored, Prediction):
            content |= {"windows": scored.windows, "note": scored.note or None}
        return json.dumps(content, ensure_ascii=False) + "\n"


class Audacity(Form):
    """A label track: start, end and label of each window, separated by tabs."""

    def row(self, name: str, scored: Scored) -> str:
        """Returns one line."""
        words = [_one_line(label(scored.scene)), percent(scored.score)]
        words += [str(getattr(scored, part)) for part in self.columns.parts]
        return f"{scored.start_s:.6f}\t{scored.end_s:.6f}\t{' '.join(words)}\n"


class Raven(Form):
    """A selection table of Raven Pro: a row for each window, separated by tabs."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self._count = 0

    def header(self) -> str:
        """Returns the names of the columns."""
        names = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"]
        parts = [f"Scored {part}" for part in self.columns.parts]
        return "\t".join([*names, *parts, "Scene", "Score"]) + "\n"

    def row(self, name: str, scored: Scored) -> str:
        """Returns one line."""
        self._count += 1
        cells = [str(self._count), "Spectrogram 1", "1"]
        cells += [f"{scored.start_s:.6f}", f"{scored.end_s:.6f}"]
        cells += [str(getattr(scored, part)) for part in self.columns.parts]
        return "\t".join([*cells, _one_line(scored.scene), f"{scored.score:.6f}"]) + "\n"


FORMS: dict[str, type[Form]] = {
    "table": Table,
    "csv": Csv,
    "json": JsonLines,
    "audacity": Audacity,
    "raven": Raven,
}
# Those whose rows are windows and don't name their recording.
LABELS = ("audacity", "raven")


def clock(seconds: float) -> str:
    """Returns seconds as ``1:02.5``, or ``1:01:02.5`` from an hour on."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02}.{rest % 10}"
    return f"{hours}:{minutes:02}:{tail}" if hours else f"{minutes}:{tail}"


def _csv(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(map(plain_cell, cells))
    return text.getvalue()


def _one_line(text: str) -> str:
    return " ".join(text.split())
