"""A config becomes objects, each once; rooms below know no config.

`check` refuses a config that can't work, `survey` lists the data set, `Setup` makes the rest.
"""

from ascjax.setup.check import check
from ascjax.setup.data import Data, Split, Survey, catalogue, check_root, find_leaks, survey
from ascjax.setup.setup import Setup, devices, weights_file

__all__ = [
    "Data",
    "Setup",
    "Split",
    "Survey",
    "catalogue",
    "check",
    "check_root",
    "devices",
    "find_leaks",
    "survey",
    "weights_file",
]
