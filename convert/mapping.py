"""A checkpoint's tensors → Flax variables: one to one, or one error that lists every problem."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ascjax import models
from ascjax.errors import UserError
from ascjax.models.weights import CLASSIFIER, listed, mismatches
from convert.keymaps import IGNORED, KEY_MAPS, source_of

FLOATS = ("float16", "bfloat16", "float32", "float64")


class Variables(NamedTuple):
    """Flax variables made from a checkpoint.

    Attributes:
      tensors: path into the variables → array, a view of the source in its own precision, so
        that half precision isn't held twice: ``files.write`` makes it float32.
      num_classes: length of the logits; None where the checkpoint has no classifier.
      notes: what was left out or changed, for the user.
    """

    tensors: dict[str, np.ndarray]
    num_classes: int | None
    notes: list[str]


class Slot(NamedTuple):
    """What one source key must be: its shape in torch's layout; and where it goes."""

    shape: tuple[int, ...]
    path: str
    axes: tuple[int, ...] | None


def to_variables(source: Mapping[str, np.ndarray], architecture: str, where: str) -> Variables:
    """Maps every tensor of ``source`` onto the variables of ``architecture``.

    Args:
      source: a state_dict in torchvision's layout, of any number of classes, or without the
        classifier.
      architecture: one of ``KEY_MAPS``.
      where: the source's name, for messages.

    Raises:
      UserError: keys are missing, unexpected, of a wrong shape or type, or hold NaN, infinity or
        a negative variance; the message counts all of them, names the first of each kind, and the
        architecture that the keys look like.
    """
    num_classes = _num_classes(source, architecture)
    slots = expected_slots(architecture, num_classes)
    counts = [key for key in source if key.endswith(f".{IGNORED}")]
    used = {key: array for key, array in source.items() if key not in counts}
    _check_keys(used, slots, architecture, where)
    _check_values(used, where)
    tensors = {slot.path: used[key].transpose(slot.axes) for key, slot in slots.items()}
    return Variables(tensors, num_classes, _notes(used, counts, num_classes))


@cache
def expected_slots(architecture: str, num_classes: int | None) -> dict[str, Slot]:
    """Returns every source key that ``architecture`` needs, without running or filling anything.

    Args:
      architecture: one of ``KEY_MAPS``.
      num_classes: length of the logits, or None for the trunk alone.
    """
    network = models.build_full(architecture, num_classes or 1000)
    image = jax.ShapeDtypeStruct((1, *models.min_input(architecture), 3), jnp.float32)
    variables = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), image)
    slots = {}
    for path, leaf in traverse_util.flatten_dict(variables, sep="/").items():
        if num_classes is None and path.startswith(CLASSIFIER):
            continue
        key, axes = source_of(path, KEY_MAPS[architecture])
        order = np.argsort(axes) if axes else range(leaf.ndim)
        slots[key] = Slot(tuple(leaf.shape[axis] for axis in order), path, axes)
    return slots


def _num_classes(source: Mapping[str, np.ndarray], architecture: str) -> int | None:
    """Returns the length of the last layer, or None where nothing of the classifier is there."""
    key_map = KEY_MAPS[architecture]
    if not any(key.startswith(f"{key_map.top}.") for key in source):
        return None
    last = key_map.rows[-1].source
    for key in (f"{last}.bias", f"{last}.weight"):
        if key in source and source[key].ndim > 0:
            return source[key].shape[0]
    return 1000  # the last layer will be named as missing


def _check_keys(
    used: Mapping[str, np.ndarray], slots: Mapping[str, Slot], architecture: str, where: str
) -> None:
    problems = mismatches({key: array.shape for key, array in used.items()}, slots)
    mistyped = [
        f"{key} is {array.dtype}, expected floating point"
        for key, array in used.items()
        if array.dtype.name not in FLOATS
    ]
    if mistyped:
        problems.append(listed(mistyped))
    if problems:
        guess = _looks_like(used)
        hint = "" if guess in (None, architecture) else f": these keys look like {guess}"
        raise UserError(f"{where} doesn't fit {architecture}{hint}\n{'; '.join(problems)}")


def _looks_like(source: Mapping[str, np.ndarray]) -> str | None:
    """Returns the architecture whose trunk shares most keys of equal shape, if most are shared."""

    def share(architecture: str) -> float:
        slots = expected_slots(architecture, None)
        top = KEY_MAPS[architecture].top
        trunk = {k: v.shape for k, v in source.items() if not k.startswith(f"{top}.")}
        equal = sum(trunk.get(key) == slot.shape for key, slot in slots.items())
        return equal / len(trunk.keys() | slots.keys())

    shares = {architecture: share(architecture) for architecture in KEY_MAPS}
    best = max(shares, key=lambda architecture: shares[architecture])
    return best if shares[best] > 0.5 else None


def _check_values(used: Mapping[str, np.ndarray], where: str) -> None:
    problems = [text for key, array in used.items() if (text := _bad_values(array, key))]
    if problems:
        raise UserError(f"{where}: weights must be finite float32 numbers: {listed(problems)}")


def _bad_values(array: np.ndarray, key: str) -> str | None:
    # The extremes find NaN and infinity without an array of answers as long as the weights.
    with np.errstate(over="ignore", invalid="ignore"):
        extremes = np.array([array.min(), array.max()]).astype(np.float32)
    if np.isfinite(extremes).all():
        negative = key.endswith("running_var") and extremes[0] < 0
        return f"{key} holds a negative variance" if negative else None
    nans, infinities = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    found = f"{nans} NaN and {infinities} infinities" if nans or infinities else "too large values"
    return f"{key} holds {found}"


def _notes(used: Mapping[str, np.ndarray], counts: list[str], num_classes: int | None) -> list[str]:
    notes = []
    if other := sorted({array.dtype.name for array in used.values()} - {"float32"}):
        notes.append(f"{' and '.join(other)} converted to float32")
    if counts:
        notes.append(f"ignored {len(counts)} keys {IGNORED}: nothing uses them")
    if num_classes is None:
        notes.append("no classifier in the file: the trunk alone is converted and proven")
    elif num_classes != 1000:
        notes.append(f"{num_classes} classes, not ImageNet's 1000")
    return notes
