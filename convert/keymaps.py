"""Which tensor of torchvision's goes where in the Flax variables: tables, one for each network."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ascjax.models import resnet, vgg


class Leaf(NamedTuple):
    """One tensor of a module: its name in torch, where it goes, and the order of its axes there."""

    source: str
    collection: str
    target: str
    axes: tuple[int, ...] | None = None


# Convolutions: out, in, height, width → height, width, in, out. Dense: out, in → in, out.
CONV = (Leaf("weight", "params", "kernel", (2, 3, 1, 0)), Leaf("bias", "params", "bias"))
DENSE = (Leaf("weight", "params", "kernel", (1, 0)), Leaf("bias", "params", "bias"))
NORM = (
    Leaf("weight", "params", "scale"),
    Leaf("bias", "params", "bias"),
    Leaf("running_mean", "batch_stats", "mean"),
    Leaf("running_var", "batch_stats", "var"),
)
# Counters that nothing here uses: BatchNorm's (torch needs it only where there is no momentum;
# torchvision's all have 0.1), those of operation counters, and AveragedModel's.
IGNORED = re.compile(r"(^|\.)(num_batches_tracked|total_ops|total_params|n_averaged)$")


class Row(NamedTuple):
    """A module's name in torchvision and its path in the Flax variables; ``{x}`` is a number."""

    source: str
    target: str
    leaves: tuple[Leaf, ...]


class KeyMap(NamedTuple):
    """One network's table.

    Attributes:
      rows: every module that has tensors.
      block_ends: block of the trunk → torchvision's module whose output is the block's.
      top: torchvision's name of what follows the trunk's pooled features.
    """

    rows: tuple[Row, ...]
    block_ends: Mapping[str, str]
    top: str


ALEXNET = KeyMap(
    rows=(
        Row("features.0", "trunk/stage1/conv", CONV),
        Row("features.3", "trunk/stage2/conv", CONV),
        Row("features.6", "trunk/stage3/conv", CONV),
        Row("features.8", "trunk/stage4/conv", CONV),
        Row("features.10", "trunk/stage5/conv", CONV),
        Row("classifier.1", "classifier/dense1", DENSE),
        Row("classifier.4", "classifier/dense2", DENSE),
        Row("classifier.6", "classifier/dense3", DENSE),
    ),
    block_ends={
        "stage1": "features.2",
        "stage2": "features.5",
        "stage3": "features.7",
        "stage4": "features.9",
        "stage5": "features.12",
    },
    top="classifier",
)

RESNET = KeyMap(
    rows=(
        Row("conv1", "trunk/stem/conv1/conv", CONV),
        Row("bn1", "trunk/stem/conv1/bn", NORM),
        Row("layer{s}.{u}.conv{c}", "trunk/stage{s}/unit{u}/conv{c}/conv", CONV),
        Row("layer{s}.{u}.bn{c}", "trunk/stage{s}/unit{u}/conv{c}/bn", NORM),
        Row("layer{s}.{u}.downsample.0", "trunk/stage{s}/unit{u}/shortcut/conv", CONV),
        Row("layer{s}.{u}.downsample.1", "trunk/stage{s}/unit{u}/shortcut/bn", NORM),
        Row("fc", "classifier/dense", DENSE),
    ),
    block_ends={
        "stem": "maxpool",
        "stage1": "layer1",
        "stage2": "layer2",
        "stage3": "layer3",
        "stage4": "layer4",
    },
    top="fc",
)


def _vgg(num_convs: tuple[int, ...], batch_norm: bool) -> KeyMap:
    """Numbers the layers as torchvision's ``make_layers`` lays them in a row."""
    rows, block_ends, layer = [], {}, 0
    for stage, convs in enumerate(num_convs, start=1):
        for conv in range(1, convs + 1):
            rows.append(Row(f"features.{layer}", f"trunk/stage{stage}/conv{conv}", CONV))
            if batch_norm:
                layer += 1
                rows.append(Row(f"features.{layer}", f"trunk/stage{stage}/bn{conv}", NORM))
            layer += 2  # over the ReLU
        block_ends[f"stage{stage}"] = f"features.{layer}"
        layer += 1  # over the pool
    for index, dense in ((0, "dense1"), (3, "dense2"), (6, "dense3")):
        rows.append(Row(f"classifier.{index}", f"classifier/{dense}", DENSE))
    return KeyMap(tuple(rows), block_ends, top="classifier")


KEY_MAPS: dict[str, KeyMap] = {
    "alexnet": ALEXNET,
    **{
        name + suffix: _vgg(num_convs, batch_norm=suffix == "_bn")
        for name, num_convs in vgg.NUM_CONVS.items()
        for suffix in ("", "_bn")
    },
    **dict.fromkeys(resnet.ARCHITECTURES, RESNET),
}

# Architecture → other names that its trunk's modules have in files: VGG's and AlexNet's
# `features` saved alone has bare numbers, and so has `nn.Sequential(*resnet.children())`.
_RESNET_CHILDREN = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(n + 3) for n in range(1, 5)}}
RENAMED: dict[str, Mapping[str, str]] = {
    name: _RESNET_CHILDREN if key_map is RESNET else {"features": ""}
    for name, key_map in KEY_MAPS.items()
}


def source_of(path: str, key_map: KeyMap) -> tuple[str, tuple[int, ...] | None]:
    """Returns the source key that fills a path in the Flax variables, and its axes' order there.

    Raises:
      KeyError: no row fits the path; the table isn't complete.
    """
    collection, _, rest = path.partition("/")
    module, _, name = rest.rpartition("/")
    for row in key_map.rows:
        match = re.fullmatch(re.sub(r"{(\w)}", r"(?P<\1>\\d+)", row.target), module)
        if match is None:
            continue
        for leaf in row.leaves:
            if (leaf.collection, leaf.target) == (collection, name):
                return f"{row.source.format(**match.groupdict())}.{leaf.source}", leaf.axes
    raise KeyError(path)
