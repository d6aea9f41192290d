"""The scene sets that may be downloaded, with their records on Zenodo."""

from typing import NamedTuple


class Published(NamedTuple):
    """A set: its record's number on zenodo.org and its name."""

    record: int
    title: str


# The development sets of DCASE task 1, and the evaluation set whose labels are published.
SETS: dict[str, Published] = {
    "tut2018": Published(1228142, "TUT Urban Acoustic Scenes 2018 (task 1A; the paper's)"),
    "tut2018b": Published(1228235, "TUT Urban Acoustic Scenes 2018 Mobile (1B)"),
    "tau2019": Published(2589280, "TAU Urban Acoustic Scenes 2019 (1A)"),
    "tau2019b": Published(2589332, "TAU Urban Acoustic Scenes 2019 Mobile (1B)"),
    "tau2019c": Published(2591503, "TAU Urban Acoustic Scenes 2019 Openset (1C)"),
    "tau2020": Published(3819968, "TAU Urban Acoustic Scenes 2020 Mobile (1A; also 2021)"),
    "tau2020b": Published(3670185, "TAU Urban Acoustic Scenes 2020 3Class (1B)"),
    "tau2021av": Published(4477542, "TAU Urban Audio-Visual Scenes 2021 (1B)"),
    "tau2022": Published(6337421, "TAU Urban Acoustic Scenes 2022 Mobile (also 2023 to 2025)"),
    "tau2022eval": Published(6591203, "TAU Urban Acoustic Scenes 2022 Mobile, evaluation"),
}
