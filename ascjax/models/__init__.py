"""Networks: torchvision's trunks, the paper's heads and the DCASE 2018 baseline, by name."""

from ascjax.models.heads import HEADS
from ascjax.models.network import (
    TRUNKS,
    build,
    build_full,
    check_input,
    frozen_mask,
    min_input,
)
from ascjax.models.trunk import Architecture

__all__ = [
    "HEADS",
    "TRUNKS",
    "Architecture",
    "build",
    "build_full",
    "check_input",
    "frozen_mask",
    "min_input",
]
