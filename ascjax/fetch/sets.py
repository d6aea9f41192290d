"""The scene sets that may be downloaded, with their records on Zenodo."""

from typing import NamedTuple


class Published(NamedTuple):
    """A set on zenodo.org.

    Attributes:
      record: its record's number.
      title: its name.
      note: what to know once it is there.
      evaluation: whether it has no training part.
    """

    record: int
    title: str
    note: str = ""
    evaluation: bool = False


_SPLITS = """\
DCASE 2024 and 2025 train on parts of this set that are listed elsewhere: put split5.csv to
split100.csv, from github.com/CPJKU/dcase2024_task1_baseline/releases/tag/files, into its
evaluation_setup/; --config.data.split=split5 names one (2025's is split25)."""

# The development sets of DCASE task 1 that have audio alone, and 2022's evaluation set.
SETS: dict[str, Published] = {
    "tut2018": Published(1228142, "TUT Urban Acoustic Scenes 2018 (task 1A; the paper's)"),
    "tut2018b": Published(1228235, "TUT Urban Acoustic Scenes 2018 Mobile (1B)"),
    "tau2019": Published(2589280, "TAU Urban Acoustic Scenes 2019 (1A)"),
    "tau2019b": Published(2589332, "TAU Urban Acoustic Scenes 2019 Mobile (1B)"),
    "tau2019c": Published(2591503, "TAU Urban Acoustic Scenes 2019 Openset (1C)"),
    "tau2020": Published(3819968, "TAU Urban Acoustic Scenes 2020 Mobile (1A; also 2021)"),
    "tau2020b": Published(3670185, "TAU Urban Acoustic Scenes 2020 3Class (1B)"),
    "tau2022": Published(
        6337421, "TAU Urban Acoustic Scenes 2022 Mobile (also 2023; 2024-25's audio)", _SPLITS
    ),
    "tau2022eval": Published(
        6591203, "TAU Urban Acoustic Scenes 2022 Mobile, evaluation", evaluation=True
    ),
}
