"""The proof: the written file, run by our network, against the source, run by torchvision."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from ascjax import models
from ascjax.models.trunk import Trunk
from ascjax.models.weights import load

from .reference import Output

TOLERANCE = 1e-4
# Height and width: the square that ImageNet networks know, and one that nothing divides.
INPUT_SIZES = ((224, 224), (161, 207))


class Difference(NamedTuple):
    """The largest difference of two arrays, and its share of the block's scale."""

    absolute: float
    relative: float


class Proof(NamedTuple):
    """The differences at each input size and block (and the logits), in order.

    Attributes:
      differences: ``"224×224"`` → block → Difference.
      versions: of the libraries compared.
    """

    differences: dict[str, dict[str, Difference]]
    versions: dict[str, str]

    @property
    def worst(self) -> float:
        """The largest relative difference; NaN if any is."""
        rows = self.differences.values()
        return float(np.max([difference.relative for row in rows for difference in row.values()]))

    @property
    def passed(self) -> bool:
        """Whether every relative difference is within ``TOLERANCE``."""
        return self.worst <= TOLERANCE  # False where it is NaN

    def to_json(self) -> str:
        """Returns the proof as it stands in a file's header."""
        return json.dumps(
            {"tolerance": TOLERANCE, "versions": self.versions, "differences": self.differences}
        )

    @classmethod
    def from_json(cls, text: str) -> "Proof":
        """Reads what ``to_json`` wrote.

        Raises:
          ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError: it is
            something else.
        """
        content = json.loads(text)
        differences = {
            size: {block: Difference(*map(float, pair)) for block, pair in row.items()}
            for size, row in content["differences"].items()
        }
        if len({tuple(row) for row in differences.values()}) != 1 or not all(differences.values()):
            raise ValueError("expected the same blocks at each input size")
        return cls(differences, dict(content["versions"]))


def images(planes: int = 3) -> list[np.ndarray]:
    """Returns the inputs of the proof, [1, height, width, planes], drawn from a fixed seed."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, *size, 3), np.float32)[..., :planes] for size in INPUT_SIZES]


def prove(
    path: Path,
    images: Sequence[np.ndarray],
    expected: Sequence[Mapping[str, Output]],
    num_classes: int | None,
    versions: Mapping[str, str],
) -> Proof:
    """Compares a written file with what torchvision gave for the same images.

    Args:
      path: file of converted weights.
      images: that both networks see, each [1, height, width, plane].
      expected: for each image, block → output, in the order of the network.
      num_classes: length of the logits, or None for the trunk alone.
      versions: of the reference, to be kept with the proof.
    """
    converted = load(path)
    variables = traverse_util.unflatten_dict(converted.tensors, sep="/")
    architecture = converted.metadata["architecture"]
    differences = {}
    for image, reference in zip(images, expected, strict=True):
        ours = _activations(architecture, variables, num_classes, image)
        size = "×".join(str(side) for side in image.shape[1:3])
        differences[size] = {
            block: _difference(ours[block], output) for block, output in reference.items()
        }
    return Proof(differences, {**versions, "jax": jax.__version__})


def _activations(
    architecture: str, variables: Any, num_classes: int | None, image: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns block → array, and ``logits``, of our network in full float32 precision."""
    if num_classes is None:
        network: nn.Module = Trunk(models.TRUNKS[architecture], name="trunk")
        variables = {collection: tree["trunk"] for collection, tree in variables.items()}
    else:
        network = models.create_full(architecture, num_classes).clone(planes=image.shape[-1])

    # Run once each: a fast compilation is worth more than fast code.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(variables: Any, image: jax.Array) -> Any:
        return network.apply(
            variables,
            image,
            train=False,
            capture_intermediates=lambda module, _: isinstance(module.parent, Trunk),
        )

    cpu = jax.local_devices(backend="cpu")[0]
    with jax.default_matmul_precision("highest"), jax.default_device(cpu):
        logits, captured = run(variables, image)
    blocks = captured["intermediates"]
    blocks = blocks if num_classes is None else blocks["trunk"]
    outputs = {block: np.asarray(calls["__call__"][0]) for block, calls in blocks.items()}
    return outputs if num_classes is None else {**outputs, "logits": np.asarray(logits)}


def _difference(ours: np.ndarray, reference: Output) -> Difference:
    if ours.shape != reference.values.shape:
        return Difference(np.inf, np.inf)
    with np.errstate(over="ignore", invalid="ignore"):  # the proof then fails, which says it
        absolute = float(np.abs(ours - reference.values).max())
    scale = reference.scale
    return Difference(absolute, absolute / scale if scale else np.inf if absolute else 0.0)
