"""The paper's tables, row by row: which config with which settings, and the paper's number.

H. Zhou, X. Bai, J. Du: An Investigation of Transfer Learning Mechanism for Acoustic Scene
Classification, ISCSLP 2018. TUT Urban Acoustic Scenes 2018, fold 1, 2,518 test recordings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One trained system of the paper.

    Attributes:
      label: what it is, in a few words.
      config: name of its config.
      overrides: what it sets otherwise, by dotted key.
      paper: the paper's accuracy in %.
      against: names of the rows that the paper compares it with.
    """

    label: str
    config: str
    overrides: Mapping[str, Any]
    paper: float
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the paper: its rows by name, in order. A row may be in several tables."""

    title: str
    rows: Mapping[str, Row]


RANDOM = {"init.weights": "random"}

VGG_FINE_TUNED = Row("VGG-16 fine-tuned", "vgg", {}, 70.6, ("vgg16_random",))


def _fragments(count: int, paper: float) -> Row:
    settings = {"fragments.count": count}
    label = f"VGG-16, {count} fragments"
    return Row(label, "vgg_fragments", settings, paper, ("vgg16_imagenet",))


SIX_FRAGMENTS = _fragments(6, 73.9)

# fmt: off
TABLES = {
    "1": Table("Random weights against fine-tuning from ImageNet", {
        "alexnet_random": Row("AlexNet from random weights", "alexnet", RANDOM, 59.5),
        "alexnet_imagenet": Row(
            "AlexNet fine-tuned", "alexnet", {}, 64.3, ("alexnet_random",)),
        "vgg16_random": Row("VGG-16 from random weights", "vgg", RANDOM, 61.9),
        "vgg16_imagenet": VGG_FINE_TUNED,
        "resnet50_random": Row("ResNet-50 from random weights", "resnet", RANDOM, 61.6),
        "resnet50_imagenet": Row(
            "ResNet-50 fine-tuned", "resnet", {}, 70.2, ("resnet50_random",)),
    }),
    "2": Table("Number of fragments", {
        "vgg16_imagenet": VGG_FINE_TUNED,
        "vgg16_fragments3": _fragments(3, 71.6),
        "vgg16_fragments6": SIX_FRAGMENTS,
        "vgg16_fragments9": _fragments(9, 71.8),
        "vgg16_fragments12": _fragments(12, 71.8),
    }),
    # The paper compares three channels with the row of one channel in its Table 2.
    "3": Table("Channels and head, beside the baseline", {
        "baseline": Row("DCASE 2018 baseline", "baseline", {}, 59.7),
        "vgg16_fragments6": SIX_FRAGMENTS,
        "vgg16_channels": Row(
            "VGG-16, 6 fragments, 3 channels", "vgg_channels", {}, 75.5,
            ("vgg16_fragments6",)),
        "vgg16_mlp": Row(
            "VGG-16, 6 fragments, 3 channels, mlp", "vgg_mlp", {}, 77.8,
            ("vgg16_channels", "baseline")),
    }),
}
# fmt: on
