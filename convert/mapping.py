"""A state_dict → Flax variables: the trunk one to one, or one error that lists every problem."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ascjax import models
from ascjax.errors import UserError
from ascjax.models.weights import CLASSIFIER, mismatches
from ascjax.words import listed

from .checkpoint import to_numpy
from .keymaps import IGNORED, KEY_MAPS, source_of

FLOATS = ("float16", "bfloat16", "float32", "float64")


class Variables(NamedTuple):
    """Flax variables made from a checkpoint.

    Attributes:
      tensors: path into the variables → array, a view of the source in its own precision, so
        that half precision isn't held twice: ``files.write`` makes it float32.
      num_classes: length of the logits; None where only the trunk was taken.
      notes: what was left out or changed, for the user.
      source: the arrays used, under torchvision's keys.
      planes: input planes that the first kernel sees, 3 or 1.
    """

    tensors: dict[str, np.ndarray]
    num_classes: int | None
    notes: list[str]
    source: dict[str, np.ndarray]
    planes: int


class Slot(NamedTuple):
    """The shape of a source key, in torch's layout, and where it goes.

    Attributes:
      shape: in torchvision's network.
      path: into the Flax variables.
      axes: their order there.
      first: whether it is the kernel that sees the input planes, which may also be one.
    """

    shape: tuple[int, ...]
    path: str
    axes: tuple[int, ...] | None
    first: bool = False

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fills the slot."""
        return shape == self.shape or (self.first and shape == (self.shape[0], 1, *self.shape[2:]))


def to_variables(state: Mapping[str, Any], architecture: str, where: str) -> Variables:
    """Maps ``state`` onto the variables of ``architecture``: the trunk, and torchvision's head.

    A head of any other layout is left out, and the notes name it.

    Args:
      state: a state_dict whose trunk has torchvision's layout; tensors of torch's or NumPy's.
      architecture: one of ``KEY_MAPS``.
      where: the source's name, for messages.

    Raises:
      UserError: keys of the trunk are missing, unexpected, of a wrong shape or type, or hold NaN,
        infinity or a negative variance; the message names the first of each kind and counts the
        rest.
    """
    num_classes = _num_classes(state, architecture)
    slots = expected_slots(architecture, num_classes)
    _check_keys(state, slots, architecture, where)
    source = {key: to_numpy(key, state[key], where) for key in slots}
    _check_values(source, where)
    tensors = {slot.path: source[key].transpose(slot.axes) for key, slot in slots.items()}
    left = [key for key in state if key not in slots]
    (first,) = (source[key] for key, slot in slots.items() if slot.first)
    planes = first.shape[1]
    notes = [
        *_precision_notes(source.values()),
        *_left_notes(left, architecture),
        *_network_notes(num_classes, planes),
    ]
    return Variables(tensors, num_classes, notes, source, planes)


@cache
def expected_slots(architecture: str, num_classes: int | None) -> dict[str, Slot]:
    """Returns every source key that ``architecture`` needs, without running or filling anything.

    Args:
      architecture: one of ``KEY_MAPS``.
      num_classes: length of the logits, or None for the trunk alone.
    """
    network = models.create_full(architecture, num_classes or 1000)
    image = jax.ShapeDtypeStruct((1, *models.min_input(architecture), 3), jnp.float32)
    variables = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), image)
    slots = {}
    first_kernel = f"params/trunk/{models.TRUNKS[architecture].first_kernel}"
    for path, leaf in traverse_util.flatten_dict(variables, sep="/").items():
        if num_classes is None and path.startswith(CLASSIFIER):
            continue
        key, axes = source_of(path, KEY_MAPS[architecture])
        order = np.argsort(axes) if axes else range(leaf.ndim)
        shape = tuple(leaf.shape[axis] for axis in order)
        slots[key] = Slot(shape, path, axes, first=path == first_kernel)
    return slots


@cache
def trunk_roots(architecture: str) -> frozenset[str]:
    """Returns torchvision's names of the modules that hold the trunk."""
    return frozenset(key.partition(".")[0] for key in expected_slots(architecture, None))


def unexpected_in_trunk(keys: Iterable[str], architecture: str) -> list[str]:
    """Returns the keys below the trunk's modules that the architecture doesn't have."""
    slots, roots = expected_slots(architecture, None), trunk_roots(architecture)
    return [
        key
        for key in keys
        if key.partition(".")[0] in roots and key not in slots and not IGNORED.search(key)
    ]


def _num_classes(state: Mapping[str, Any], architecture: str) -> int | None:
    """Returns the length of the logits of torchvision's head, or None where there is another."""
    top = f"{KEY_MAPS[architecture].top}."
    bias = state.get(f"{KEY_MAPS[architecture].rows[-1].source}.bias")
    if bias is None or bias.ndim != 1 or not bias.shape[0]:
        return None
    num_classes = int(bias.shape[0])
    head = {k: s for k, s in expected_slots(architecture, num_classes).items() if k.startswith(top)}
    present = {key: tuple(tensor.shape) for key, tensor in state.items() if key.startswith(top)}
    whole = present == {key: slot.shape for key, slot in head.items()}
    return num_classes if whole else None


def _check_keys(
    state: Mapping[str, Any], slots: Mapping[str, Slot], architecture: str, where: str
) -> None:
    shapes = {key: tuple(state[key].shape) for key in slots if key in state}
    taken = {
        key: slot.shape if slot.takes(shapes[key]) else shapes[key]
        for key, slot in slots.items()
        if key in shapes
    }
    extra = unexpected_in_trunk(state, architecture)
    problems = mismatches({**taken, **dict.fromkeys(extra, ())}, slots)
    mistyped = [
        f"{key} is {dtype}, expected floating point"
        for key in shapes
        if (dtype := str(state[key].dtype).removeprefix("torch.")) not in FLOATS
    ]
    if mistyped:
        problems.append(listed(mistyped))
    if problems:
        raise UserError(f"{where} doesn't fit {architecture}\n{'; '.join(problems)}")


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


def _precision_notes(arrays: Iterable[np.ndarray]) -> list[str]:
    other = sorted({array.dtype.name for array in arrays} - {"float32"})
    return [f"{' and '.join(other)} converted to float32"] if other else []


def _left_notes(left: list[str], architecture: str) -> list[str]:
    counters = sorted({match[2] for key in left if (match := IGNORED.search(key))})
    rest = [key for key in left if not IGNORED.search(key)]
    notes = [f"ignored counters: {', '.join(counters)}"] if counters else []
    return notes + ([f"left out, not {architecture}'s: {listed(rest, 4)}"] if rest else [])


def _network_notes(num_classes: int | None, planes: int) -> list[str]:
    notes = ["its first kernel sees one plane"] if planes == 1 else []
    if num_classes is None:
        return [*notes, "no torchvision head: the trunk alone is converted"]
    return notes if num_classes == 1000 else [*notes, f"{num_classes} classes, not ImageNet's 1000"]
