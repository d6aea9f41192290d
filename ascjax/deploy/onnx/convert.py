"""Converts a function to an ONNX model: traces it, then takes its equations one by one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from ascjax.deploy.onnx.graph import Graph, Inexpressible, Value, is_static
from ascjax.deploy.onnx.rules import RULES

# The oldest that has all operators as they are used here, for the widest support.
OPSET = 18
_IR_VERSION = 8
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_LOOPS = ("scan", "while", "cond")
# Not computed: the rules move constants for nothing, and a dynamic size is never constant.
_LAZY = ("broadcast_in_dim", "dim_as_value", "transpose")
# What BatchNorm makes of its constants; JAX would compile a program for each shape.
_IN_NUMPY: Mapping[str, Callable[..., Any]] = {
    "add": np.add,
    "mul": np.multiply,
    "rsqrt": lambda x: np.reciprocal(np.sqrt(x)),
    "sub": np.subtract,
}

Outputs = Mapping[str, Any]


def convert(
    function: Callable[..., Outputs],
    weights: Mapping[str, np.ndarray],
    inputs: Mapping[str, jax.ShapeDtypeStruct],
) -> onnx.ModelProto:
    """Returns the ONNX model of a function.

    Args:
      function: of the weights by name, then of each of the inputs; returns arrays by name.
      weights: part of the model. What depends on them alone is computed now, but for what depends
        on weights of int8: these are kept as they are, to keep the file small.
      inputs: shape and type by name; dynamic sizes as of `jax.export.symbolic_shape`.

    Raises:
      Inexpressible: the function does what isn't converted.
    """
    structs = {name: jax.ShapeDtypeStruct(each.shape, each.dtype) for name, each in weights.items()}
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(structs, *inputs.values())
    graph = Graph()
    values = [
        Value.stored(graph.constant(weights[name], name), weights[name].shape)
        if weights[name].dtype == np.int8
        else Value.of(weights[name])
        for name in sorted(weights)  # as JAX orders a dict
    ]
    for name, struct in inputs.items():
        values.append(Value.stored(name, struct.shape))
        sizes = enumerate(struct.shape)
        graph.dynamic |= {str(s): (name, axis) for axis, s in sizes if not is_static([s])}
    results = _run(graph, closed.jaxpr, map(Value.of, closed.consts), values)
    for name, value in zip(sorted(shapes), results, strict=True):
        held = graph.name(graph.plain(value, shapes[name].shape))
        graph.nodes.append(helper.make_node("Identity", [held], [name]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "ascjax",
            [_described(name, struct) for name, struct in inputs.items()],
            [_described(name, shapes[name]) for name in shapes],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="ascjax",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _described(name: str, struct: Any) -> Any:
    sizes = [int(size) if is_static([size]) else str(size) for size in struct.shape]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(struct.dtype), sizes)


def _run(
    graph: Graph, jaxpr: Any, constants: Iterable[Value], inputs: Sequence[Value]
) -> list[Value]:
    """Converts the equations of a jaxpr and returns its outputs."""
    known: dict[Any, Value] = dict(zip(jaxpr.constvars, constants, strict=True))
    known |= dict(zip(jaxpr.invars, inputs, strict=True))

    def value(atom: Any) -> Value:
        return Value.of(atom.val) if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        results = _equation(graph, equation, [value(atom) for atom in equation.invars])
        known |= dict(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _equation(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    name = equation.primitive.name
    inner = next((equation.params[key] for key in _INNER if key in equation.params), None)
    if inner is not None and name not in _LOOPS:
        constants = map(Value.of, getattr(inner, "consts", ()))
        return _run(graph, getattr(inner, "jaxpr", inner), constants, values)
    static = all(is_static(out.aval.shape) for out in equation.outvars)
    constant = all(each.constant is not None for each in values)
    if static and constant and name not in _LAZY:
        return _computed(graph, equation, values)
    if name not in RULES:
        raise Inexpressible(name)
    found = RULES[name](graph, equation, values)
    return found if isinstance(found, list) else [found]


def _computed(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    """Returns what depends on constants alone."""
    shapes = [atom.aval.shape for atom in equation.invars]
    plain: list[Any] = [
        graph.plain(each, shape).constant for each, shape in zip(values, shapes, strict=True)
    ]
    name = equation.primitive.name
    if name == "reshape":
        return [Value.of(np.reshape(plain[0], equation.params["new_sizes"]))]
    if name in _IN_NUMPY:
        return [Value.of(_IN_NUMPY[name](*plain))]
    found = equation.primitive.bind(*map(jax.numpy.asarray, plain), **equation.params)
    return [Value.of(each) for each in (found if equation.primitive.multiple_results else [found])]
