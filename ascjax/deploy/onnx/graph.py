"""An ONNX graph as it grows, and its arrays, whose axes are moved and grown lazily.

Lazily, so that the graph reads as if written for ONNX. A transposed array is kept as it lies, with
the order of its axes: JAX's channels come last and ONNX's second, and no array is moved between two
convolutions. A broadcast axis keeps its length of 1 until an operator can't broadcast.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import helper, numpy_helper


class Inexpressible(Exception):
    """A primitive, or a use of one, that isn't converted; the message names it."""


@dataclass(frozen=True)
class Value:
    """An array of the graph, or a constant.

    Attributes:
      held: its logical shape, with 1 for an axis that is broadcast later.
      order: the logical axis at each place of the stored array.
      name: in the graph, or empty for a constant.
      constant: a constant's stored array.
    """

    held: tuple[Any, ...]
    order: tuple[int, ...]
    name: str = ""
    constant: np.ndarray | None = None

    @classmethod
    def of(cls, array: Any) -> "Value":
        """Returns a constant."""
        array = np.asarray(array)
        return cls(array.shape, tuple(range(array.ndim)), constant=array)

    @classmethod
    def stored(cls, name: str, shape: Sequence[Any], order: Sequence[int] = ()) -> "Value":
        """Returns an array of the graph, by default in logical order."""
        return cls(tuple(shape), tuple(order) or tuple(range(len(shape))), name)

    def place(self, axis: int) -> int:
        """Returns where a logical axis is stored."""
        return self.order.index(axis)


def is_static(shape: Sequence[Any]) -> bool:
    """Whether no axis of a shape is dynamic."""
    return all(isinstance(size, int | np.integer) for size in shape)


@dataclass
class Graph:
    """Nodes and initializers; ``dynamic`` has an input and its axis for each dynamic size."""

    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
    dynamic: dict[str, tuple[str, int]] = field(default_factory=dict)
    _count: int = 0
    _constants: dict[Any, str] = field(default_factory=dict)

    def emit(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        return self.emit_many(op, 1, *inputs, **attributes)[0]

    def emit_many(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Adds a node and returns the names of its outputs."""
        self._count += 1
        names = [f"{op}_{self._count}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, names[0], **attributes))
        return names

    def constant(self, array: Any, name: str = "") -> str:
        """Returns the name of an initializer, added if no other has the same values."""
        array = np.array(array, order="C")  # ascontiguousarray would make a vector of a scalar
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._constants:
            self._constants[key] = name or f"constant_{len(self._constants) + 1}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def integers(self, *values: Any) -> str:
        """Adds a vector of int64, as operators take shapes and axes."""
        return self.constant(np.array(values, np.int64))

    def name(self, value: Value) -> str:
        """Returns the name of a value's stored array."""
        return value.name or self.constant(value.constant)

    def size(self, dimension: Any) -> str:
        """Returns the name of a dynamic size, int64 [1].

        Raises:
          Inexpressible: it is an expression of sizes.
        """
        if str(dimension) not in self.dynamic:
            raise Inexpressible(f"the size {dimension}")
        name, axis = self.dynamic[str(dimension)]
        return self.emit("Shape", name, start=axis, end=axis + 1)

    def ordered(self, value: Value, order: Sequence[int]) -> Value:
        """Returns the value stored with its axes in another order."""
        order = tuple(order)
        if order == value.order:
            return value
        places = [value.place(axis) for axis in order]
        if value.constant is not None:
            return replace(value, order=order, constant=value.constant.transpose(places))
        return replace(value, order=order, name=self.emit("Transpose", value.name, perm=places))

    def whole(self, value: Value, shape: Sequence[Any]) -> Value:
        """Returns the value with no axis still to be broadcast."""
        pairs = zip(value.held, shape, strict=True)
        grown = [full if held == 1 else 1 for held, full in pairs]
        if all(isinstance(size, int) and size == 1 for size in grown):
            return value
        sizes = [grown[axis] for axis in value.order]
        if not is_static(sizes):
            parts = [
                self.integers(size) if is_static([size]) else self.size(size) for size in sizes
            ]
            name = self.emit("Expand", self.name(value), self.emit("Concat", *parts, axis=0))
            return Value.stored(name, shape, value.order)
        if value.constant is not None:
            stored = [max(a, b) for a, b in zip(value.constant.shape, sizes, strict=True)]
            array = np.broadcast_to(value.constant, stored)
            return replace(value, held=tuple(shape), constant=array)
        name = self.emit("Expand", value.name, self.integers(*sizes))
        return replace(value, held=tuple(shape), name=name)

    def plain(self, value: Value, shape: Sequence[Any]) -> Value:
        """Returns the value whole and in logical order."""
        return self.whole(self.ordered(value, range(len(shape))), shape)
