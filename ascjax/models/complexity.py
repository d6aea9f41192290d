"""Complexity as the DCASE challenges count it: multiply-accumulates and memory of activations.

Both are read off the network's jaxpr; nothing is computed.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ascjax.models import cost

# Layers and reductions: their outputs can't take the place of an input. All others' can.
_APART = {
    "conv_general_dilated", "dot_general", "gather", "reduce_max", "reduce_sum",
    "reduce_window_max", "reduce_window_sum", "scan", "sort", "while",
}  # fmt: skip


@dataclass(frozen=True)
class Complexity:
    """What a network takes for one example.

    Attributes:
      macs: multiply-accumulates as DCASE's NeSsi takes them from torchinfo: the products of
        convolutions and dense layers, those with the padding included, one more for each number
        that a bias is added to, and the parameters of BatchNorm.
      peak_activation_bytes: the most memory that inputs and outputs of layers need at one time, in
        the precision they have, if each is freed after its last use, elementwise operations write
        over their input, and neither comparisons nor what these operations compute in a wider
        precision than their inputs' are ever stored. Parameters aren't in it.
    """

    macs: int
    peak_activation_bytes: int


def of_example(network: nn.Module, input_shape: tuple[int, int]) -> Complexity:
    """Returns the complexity of a network's evaluation on one example [mel, frame]."""
    plain = network.clone(convolutions="xla")  # then a convolution is one operation
    apply, variables, example = cost.evaluation(plain, 1, input_shape)
    traced = jax.make_jaxpr(lambda values, x: apply(values, x))(variables, example)
    operations = list(_flat(traced.jaxpr, {}))
    inputs = traced.jaxpr.invars[-1]
    products = sum(map(_products, operations))
    macs = products + _biased(operations, inputs) + _batch_norm(variables["params"])
    return Complexity(macs, _peak(operations, inputs))


@dataclass(frozen=True, eq=False)
class _Value:
    """The output of an operation; another one each time that the operation is called."""

    aval: Any


@dataclass(frozen=True)
class _Operation:
    """A primitive of one call, with its values."""

    name: str
    settings: dict[str, Any]
    inputs: list[Any]
    outputs: list[Any]


def _flat(jaxpr: Jaxpr, names: dict[Any, Any]) -> Iterator[_Operation]:
    """Yields the operations of a jaxpr, calls replaced by what they call; loops stay whole.

    Args:
      jaxpr: of a function. JAX keeps one of each, so that all its calls share variables.
      names: the value of each variable in this call; filled. One that isn't there is its own.
    """
    for equation in jaxpr.eqns:
        inputs = [_value(v, names) for v in equation.invars]
        called = [v for v in equation.params.values() if isinstance(v, ClosedJaxpr | Jaxpr)]
        if len(called) == 1 and equation.primitive.name != "scan":
            inner = called[0].jaxpr if isinstance(called[0], ClosedJaxpr) else called[0]
            within = dict(zip(inner.invars, inputs, strict=True))
            yield from _flat(inner, within)
            outputs = [_value(v, within) for v in inner.outvars]
        else:
            outputs = [_Value(v.aval) for v in equation.outvars]
            yield _Operation(equation.primitive.name, equation.params, inputs, outputs)
        names |= zip(equation.outvars, outputs, strict=True)


def _value(variable: Any, names: dict[Any, Any]) -> Any:
    return variable if isinstance(variable, Literal) else names.get(variable, variable)


def _products(operation: _Operation) -> int:
    """Returns the products of one operation, 0 for any but convolutions, dense layers and loops."""
    settings = operation.settings
    shapes = [each.aval.shape for each in operation.inputs]
    if operation.name == "conv_general_dilated":
        channels_out = shapes[1][settings["dimension_numbers"].rhs_spec[0]]
        return math.prod(operation.outputs[0].aval.shape) * math.prod(shapes[1]) // channels_out
    if operation.name == "dot_general":
        (summed, _), _ = settings["dimension_numbers"]
        depth = math.prod(shapes[0][axis] for axis in summed)
        return math.prod(operation.outputs[0].aval.shape) * depth
    if operation.name == "scan":
        return settings["length"] * sum(map(_products, _flat(settings["jaxpr"].jaxpr, {})))
    return 0


def _biased(operations: list[_Operation], example: Any) -> int:
    """Returns how many numbers of convolutions' and dense layers' outputs a bias is added to."""
    activations: set[Any] = {example}
    outputs: set[Any] = set()
    total = 0
    for operation in operations:
        inputs = {v for v in operation.inputs if not isinstance(v, Literal)}
        if operation.name == "add" and inputs & outputs and inputs - activations:
            total += math.prod(operation.outputs[0].aval.shape)
        if inputs & activations:
            activations.update(operation.outputs)
        if operation.name in ("conv_general_dilated", "dot_general"):
            outputs.update(operation.outputs)
    return total


def _batch_norm(params: Mapping[str, Any]) -> int:
    """Returns the number of scales and offsets of the layers that have both."""
    if "scale" in params:
        return sum(leaf.size for leaf in params.values())
    return sum(_batch_norm(inner) for inner in params.values() if isinstance(inner, Mapping))


def _peak(operations: list[_Operation], example: Any) -> int:
    """Returns the largest sum of the activations' sizes in bytes; what loops need inside isn't in.

    Slices are views of what they are cut from, which stays until the last of them was used.
    """
    place = {example: example}  # of each activation, whose memory it lies in
    width = {example: _width(example)}  # of one of its numbers, in bytes
    last_use: dict[Any, int] = {}
    for index, operation in enumerate(operations):
        sources = [place[v] for v in operation.inputs if not _constant(v, place)]
        if sources:  # else it is made of parameters alone
            widest = max(width[v] for v in sources)
            for output in operation.outputs:
                place[output] = sources[0] if operation.name == "slice" else output
                own = _width(output)
                width[output] = own if operation.name in _APART else min(own, widest)
        last_use |= dict.fromkeys(sources, index)
    size = {value: math.prod(value.aval.shape) * width[value] for value in place}
    live, peak = {example}, size[example]
    for index, operation in enumerate(operations):
        new = {place[v] for v in operation.outputs if v in place} - live
        done = {source for source in live if last_use.get(source, len(operations)) <= index}
        if operation.name not in _APART:
            sizes = {size[value] for value in new}
            live -= {next((value for value in done if size[value] in sizes), None)}
        live |= new
        peak = max(peak, sum(size[value] for value in live))
        live -= done
    return peak


def _constant(variable: Any, place: dict[Any, Any]) -> bool:
    return isinstance(variable, Literal) or variable not in place


def _width(value: Any) -> int:
    """Returns the bytes of a number; none of a comparison."""
    dtype = np.dtype(value.aval.dtype)
    return 0 if dtype.kind == "b" else dtype.itemsize
