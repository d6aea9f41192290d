"""Tables of the paper, filled with the results of a sweep."""

from dataclasses import dataclass, field

from ascjax.scoring.clusters import ByLocation
from ascjax.scoring.metrics import SeedSummary


@dataclass(frozen=True)
class Cost:
    """What a row's network takes, counted as `Model` and `RunInfo` do.

    Attributes:
      parameters: that are trained.
      num_bytes: of its variables by precision (`stored.sizes`); empty without a model file.
      flops_per_recording, macs_per_recording: of a window where recordings are cut into windows.
      macs_per_second: multiply-accumulates per second of audio.
      peak_activation_bytes: of one fragment.
    """

    parameters: int
    num_bytes: dict[str, int]
    flops_per_recording: float
    macs_per_recording: int
    macs_per_second: float
    peak_activation_bytes: int


@dataclass(frozen=True)
class RowResults:
    """A row's finished seeds.

    Attributes:
      recordings: test recordings of a seed.
      mean, deviation: of the seeds' accuracies; of the folds' where there is one seed.
      interval_95: Wilson's, at the mean accuracy.
      cost: of the network.
      train_s, test_s: mean seconds of a seed.
      macro_accuracy, log_loss, macro_log_loss: mean over seeds of the accuracy as a mean of scenes,
        and of the log loss in nats, over recordings and as a mean of scenes; None where unknown.
      by_location: the accuracy's interval where locations are known.
      by_seen: accuracy on ``seen`` and ``unseen`` devices, and how many recordings each has; empty
        unless there are both.
    """

    recordings: int
    mean: float
    deviation: float | None
    interval_95: tuple[float, float]
    cost: Cost
    train_s: float
    test_s: float
    macro_accuracy: float | None = None
    log_loss: float | None = None
    macro_log_loss: float | None = None
    by_location: ByLocation | None = None
    by_seen: dict[str, tuple[SeedSummary, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class TableRow:
    """A row of a table: what it is, the paper's accuracy, ours if a seed is finished.

    ``reports`` are its runs' pages, as paths from the sweep's folder.
    """

    name: str
    label: str
    trunk: str
    start: str
    channels: str
    fragments: int
    head: str
    paper: float
    state: str
    ours: RowResults | None
    reports: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """McNemar's test of two rows over the seeds that both have, beside the paper's difference.

    ``p_by_location`` is that of its form for clusters; None where locations are unknown.
    """

    name: str
    against: str
    labels: tuple[str, str]
    seeds: int
    difference: float
    paper_difference: float
    only_a: int
    only_b: int
    p: float
    p_by_location: float | None = None


@dataclass(frozen=True)
class FilledTable:
    """A table of the paper with our results."""

    title: str
    lines: list[TableRow]
    comparisons: list[Comparison]


@dataclass(frozen=True)
class FilledTables:
    """The tables of a sweep, and what their rows share.

    Attributes:
      tables: by the paper's number.
      data_root: the data set.
      settings: overrides of every row, by dotted key, as text.
      seeds: how many of each row.
      folds: whether each seed was trained on every fold of the set.
      num_finished, num_planned: seeds of all rows.
      synthetic: whether the recordings are synthesised.
      unit: what operations are counted for, ``recording`` or ``window``.
    """

    tables: dict[str, FilledTable]
    data_root: str
    settings: dict[str, str]
    seeds: int
    folds: bool
    num_finished: int
    num_planned: int
    synthetic: bool
    unit: str = "recording"

    @property
    def lines(self) -> list[TableRow]:
        """The rows of all tables."""
        return [line for table in self.tables.values() for line in table.lines]

    @property
    def recordings(self) -> int | None:
        """Test recordings of a seed; None if none is finished."""
        return max((line.ours.recordings for line in self.lines if line.ours), default=None)
