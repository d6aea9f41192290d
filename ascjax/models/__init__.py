"""Networks: torchvision's trunks, the paper's heads and the DCASE 2018 baseline, by name."""

from ascjax.models.heads import HEADS
from ascjax.models.network import (
    COMPUTE_DTYPES,
    TRUNKS,
    check_input,
    create_full,
    create_model,
    frozen_mask,
    min_input,
    posteriors,
)
from ascjax.models.trunk import Architecture, num_frozen

__all__ = [
    "COMPUTE_DTYPES",
    "HEADS",
    "TRUNKS",
    "Architecture",
    "check_input",
    "create_full",
    "create_model",
    "frozen_mask",
    "min_input",
    "num_frozen",
    "posteriors",
]
