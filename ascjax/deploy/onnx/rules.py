"""How JAX's primitives are written in ONNX, by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from onnx import helper

from ascjax.deploy.onnx.graph import Graph, Inexpressible, Value, is_static

Rule = Callable[[Graph, Any, list[Value]], Value | list[Value]]

# Operators that act on each element and broadcast.
_ELEMENTWISE = {
    "abs": "Abs", "add": "Add", "and": "And", "ceil": "Ceil", "cos": "Cos", "div": "Div",
    "eq": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor", "ge": "GreaterOrEqual",
    "gt": "Greater", "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid", "lt": "Less",
    "max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or", "pow": "Pow",
    "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh",
}  # fmt: skip


def _elementwise(
    graph: Graph, equation: Any, values: list[Value], write: Callable[..., str]
) -> Value:
    """Stores the operands in the order of the first that is no constant, and writes the nodes."""
    rank = len(equation.outvars[0].aval.shape)
    first = next((v for v in values if v.constant is None and len(v.order) == rank), values[0])
    operands = [graph.ordered(v, first.order) if len(v.order) == rank else v for v in values]
    ranked = [v.held for v in operands if len(v.held) == rank]
    held = tuple(
        next((size for size in sizes if not _is_one(size)), 1)
        for sizes in zip(*ranked, strict=True)
    )
    order = first.order if len(first.order) == rank else tuple(range(rank))
    return Value(held, order, write(graph, equation, *operands))


def _is_one(size: Any) -> bool:
    return isinstance(size, int | np.integer) and size == 1


def _write(graph: Graph, equation: Any, *operands: Value, op: str) -> str:
    return graph.emit(op, *map(graph.name, operands))


def _max(graph: Graph, equation: Any, *operands: Value) -> str:
    names = [graph.name(v) for v in operands if not _is_scalar(v, 0)]
    # Only that much is a rectifier; runtimes fuse it with the convolution before.
    return graph.emit("Relu" if len(names) == 1 else "Max", *names)


def _is_scalar(value: Value, number: float) -> bool:
    return value.constant is not None and not value.held and value.constant.item() == number


def _sub(graph: Graph, equation: Any, a: Value, b: Value) -> str:
    if b.constant is None:
        return graph.emit("Sub", graph.name(a), graph.name(b))
    # Runtimes fold an addition into the convolution before, but no subtraction.
    return graph.emit("Add", graph.name(a), graph.constant(-b.constant))


def _rsqrt(graph: Graph, equation: Any, x: Value) -> str:
    return graph.emit("Reciprocal", graph.emit("Sqrt", graph.name(x)))


def _square(graph: Graph, equation: Any, x: Value) -> str:
    return graph.emit("Mul", graph.name(x), graph.name(x))


def _integer_pow(graph: Graph, equation: Any, x: Value) -> str:
    exponent = np.asarray(equation.params["y"], equation.invars[0].aval.dtype)
    return graph.emit("Pow", graph.name(x), graph.constant(exponent))


def _is_finite(graph: Graph, equation: Any, x: Value) -> str:
    bad = [graph.emit(op, graph.name(x)) for op in ("IsNaN", "IsInf")]
    return graph.emit("Not", graph.emit("Or", *bad))


def _ne(graph: Graph, equation: Any, a: Value, b: Value) -> str:
    return graph.emit("Not", graph.emit("Equal", graph.name(a), graph.name(b)))


def _select(graph: Graph, equation: Any, *values: Value) -> str:
    if len(values) != 3:
        raise Inexpressible("select_n of more than two cases")
    which, if_false, if_true = map(graph.name, values)
    return graph.emit("Where", which, if_true, if_false)


def _cast(graph: Graph, equation: Any, x: Value) -> str:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["new_dtype"]))
    return graph.emit("Cast", graph.name(x), to=dtype)


def _same(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    return values


def _transpose(graph: Graph, equation: Any, values: list[Value]) -> Value:
    (x,) = values
    axes = tuple(equation.params["permutation"])
    held = tuple(x.held[axis] for axis in axes)
    return replace(x, held=held, order=tuple(axes.index(axis) for axis in x.order))


def _reshape(graph: Graph, equation: Any, values: list[Value]) -> Value:
    shape = equation.outvars[0].aval.shape
    name = graph.name(graph.plain(values[0], equation.invars[0].aval.shape))
    sizes = [size if is_static([size]) else -1 for size in shape]
    if sizes.count(-1) > 1:
        raise Inexpressible("reshape to several dynamic sizes")
    return Value.stored(graph.emit("Reshape", name, graph.integers(*sizes)), shape)


def _broadcast(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """Adds axes of length 1; see `Graph.whole` for the rest."""
    shape, kept = equation.params["shape"], equation.params["broadcast_dimensions"]
    x = graph.ordered(values[0], range(len(values[0].order)))
    held = [1] * len(shape)
    for axis, size in zip(kept, x.held, strict=True):
        held[axis] = size
    if x.constant is not None:
        return Value.of(x.constant.reshape(held))
    added = [axis for axis in range(len(shape)) if axis not in kept]
    name = graph.emit("Unsqueeze", x.name, graph.integers(*added)) if added else x.name
    return Value.stored(name, held)


def _squeeze(graph: Graph, equation: Any, values: list[Value]) -> Value:
    removed = equation.params["dimensions"]
    x = graph.ordered(values[0], range(len(values[0].order)))
    held = [size for axis, size in enumerate(x.held) if axis not in removed]
    return Value.stored(graph.emit("Squeeze", graph.name(x), graph.integers(*removed)), held)


def _reduce(graph: Graph, equation: Any, values: list[Value], op: str) -> Value:
    axes = equation.params["axes"]
    x = graph.whole(values[0], equation.invars[0].aval.shape)
    kept = [axis for axis in x.order if axis not in axes]
    places = graph.integers(*(x.place(axis) for axis in axes))
    name = graph.name(x)
    if x.constant is None and equation.invars[0].aval.dtype == bool:
        number = graph.emit("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(np.int32)))
        reduced = graph.emit(op, number, places, keepdims=0)
        name = graph.emit("Cast", reduced, to=helper.np_dtype_to_tensor_dtype(np.dtype(bool)))
    else:
        name = graph.emit(op, name, places, keepdims=0)
    left = sorted(kept)
    return Value.stored(name, [x.held[axis] for axis in left], [left.index(a) for a in kept])


def _sort(graph: Graph, equation: Any, values: list[Value]) -> Value:
    if len(values) > 1:
        raise Inexpressible("sort of several arrays")
    shape, axis = equation.invars[0].aval.shape, equation.params["dimension"]
    x = graph.plain(values[0], shape)
    count = graph.integers(shape[axis])
    ascending, _ = graph.emit_many("TopK", 2, x.name, count, axis=axis, largest=0)
    return Value.stored(ascending, shape)


def _dot(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """A product with a constant matrix is written as that, from the side where the axis lies."""
    (contracted, batched) = equation.params["dimension_numbers"]
    shapes = [atom.aval.shape for atom in equation.invars]
    x, y = (graph.whole(v, shape) for v, shape in zip(values, shapes, strict=True))
    if batched[0] or len(contracted[0]) != 1:
        return _einsum(graph, equation, [x, y])
    axes = [each[0] for each in contracted]
    for matrix, other, m_axis, o_axis in ((y, x, axes[1], axes[0]), (x, y, axes[0], axes[1])):
        if len(matrix.order) != 2 or (matrix is x and len(y.order) == 2):
            continue
        rank, place = len(other.order), other.place(o_axis)
        if place != rank - 2 or matrix is y:
            other = graph.ordered(other, [a for a in other.order if a != o_axis] + [o_axis])
            name = graph.emit(
                "MatMul", other.name, graph.name(graph.ordered(matrix, (m_axis, 1 - m_axis)))
            )
        else:
            name = graph.emit(
                "MatMul", graph.name(graph.ordered(matrix, (1 - m_axis, m_axis))), other.name
            )
        # The matrix's other axis has taken the contracted one's place.
        free = [axis for axis in range(rank) if axis != o_axis]
        new = 0 if matrix is x else rank - 1
        of_free = [
            free.index(axis) + (matrix is x) if axis != o_axis else new for axis in other.order
        ]
        return Value.stored(name, equation.outvars[0].aval.shape, of_free)
    return _einsum(graph, equation, [x, y])


def _einsum(graph: Graph, equation: Any, values: list[Value]) -> Value:
    contracted, batched = equation.params["dimension_numbers"]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    terms: list[dict[int, str]] = [{}, {}]
    for pairs in (batched, contracted):
        for axes in zip(*pairs, strict=True):
            letter = next(letters)
            terms[0][axes[0]] = terms[1][axes[1]] = letter
    result = [terms[0][axis] for axis in batched[0]]
    for term, value in zip(terms, values, strict=True):
        for axis in range(len(value.order)):
            if axis not in term:
                term[axis] = next(letters)
                result.append(term[axis])
    sides = ("".join(t[axis] for axis in v.order) for t, v in zip(terms, values, strict=True))
    name = graph.emit(
        "Einsum", *map(graph.name, values), equation=f"{','.join(sides)}->{''.join(result)}"
    )
    return Value.stored(name, equation.outvars[0].aval.shape)


def _conv(graph: Graph, equation: Any, values: list[Value]) -> Value:
    params, numbers = equation.params, equation.params["dimension_numbers"]
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise Inexpressible("conv_general_dilated, transposed or grouped by batch")
    shapes = [atom.aval.shape for atom in equation.invars]
    x, kernel = (
        graph.ordered(graph.whole(v, shape), spec)
        for v, shape, spec in zip(values, shapes, numbers[:2], strict=True)
    )
    low, high = zip(*params["padding"], strict=True)
    name = graph.emit(
        "Conv",
        graph.name(x),
        graph.name(kernel),
        strides=params["window_strides"],
        pads=[*low, *high],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
    )
    return Value.stored(name, equation.outvars[0].aval.shape, numbers[2])


def _max_pool(graph: Graph, equation: Any, values: list[Value]) -> Value:
    params, shape = equation.params, equation.invars[0].aval.shape
    window, strides, padding = (
        params[key] for key in ("window_dimensions", "window_strides", "padding")
    )
    still = [
        axis
        for axis in range(len(shape))
        if (window[axis], strides[axis], tuple(padding[axis])) == (1, 1, (0, 0))
    ]
    dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
    if len(shape) != 4 or len(still) < 2 or dilated:
        raise Inexpressible("reduce_window_max over other than two of four axes")
    # ONNX's pools move over the last two axes.
    order = [still[0], still[-1], *(a for a in range(4) if a not in (still[0], still[-1]))]
    x, moved = graph.ordered(graph.whole(values[0], shape), order), order[2:]
    name = graph.emit(
        "MaxPool",
        x.name,
        kernel_shape=[window[axis] for axis in moved],
        strides=[strides[axis] for axis in moved],
        pads=[padding[axis][end] for end in (0, 1) for axis in moved],
    )
    return Value.stored(name, equation.outvars[0].aval.shape, order)


def _pad(graph: Graph, equation: Any, values: list[Value]) -> Value:
    config = equation.params["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        raise Inexpressible("pad by less than nothing, or between elements")
    x = graph.whole(values[0], equation.invars[0].aval.shape)
    pads = [int(config[axis][end]) for end in (0, 1) for axis in x.order]
    name = graph.emit("Pad", graph.name(x), graph.integers(*pads), graph.name(values[1]))
    return Value.stored(name, equation.outvars[0].aval.shape, x.order)


def _slice(graph: Graph, equation: Any, values: list[Value]) -> Value:
    params, shape = equation.params, equation.invars[0].aval.shape
    x = graph.whole(values[0], shape)
    starts, limits = params["start_indices"], params["limit_indices"]
    strides = params["strides"] or (1,) * len(shape)
    cut = [
        axis
        for axis in range(len(shape))
        if not (_is(starts[axis], 0) and limits[axis] == shape[axis] and strides[axis] == 1)
    ]
    if not is_static([bound[axis] for axis in cut for bound in (starts, limits)]):
        raise Inexpressible("slice at a dynamic place")
    bounds = [[each[axis] for axis in cut] for each in (starts, limits)]
    places, steps = [x.place(axis) for axis in cut], [strides[axis] for axis in cut]
    arguments = [graph.integers(*each) for each in (*bounds, places, steps)]
    name = graph.emit("Slice", graph.name(x), *arguments) if cut else x.name
    return Value.stored(name, equation.outvars[0].aval.shape, x.order)


def _is(size: Any, number: int) -> bool:
    return is_static([size]) and size == number


def _dynamic_slice(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """Cuts at constant starts; one beyond the last place is moved back to it."""
    shape, sizes = equation.invars[0].aval.shape, equation.params["slice_sizes"]
    x = graph.whole(values[0], shape)
    name = graph.name(x)
    for axis, start in enumerate(values[1:]):
        if shape[axis] is sizes[axis] or _is(sizes[axis], -1) or shape[axis] == sizes[axis]:
            continue
        if start.constant is None or not is_static([sizes[axis]]):
            raise Inexpressible("dynamic_slice at a computed place")
        size, wanted = graph.integers(int(sizes[axis])), graph.integers(int(start.constant))
        whole = graph.emit("Shape", name, start=x.place(axis), end=x.place(axis) + 1)
        first = graph.emit("Min", wanted, graph.emit("Sub", whole, size))
        place = graph.integers(x.place(axis))
        name = graph.emit("Slice", name, first, graph.emit("Add", first, size), place)
    return Value.stored(name, equation.outvars[0].aval.shape, x.order)


def _gather(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """What indexing by whole numbers and slices is traced to: a part at a constant place."""
    x, start = values
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    removed, out = numbers.collapsed_slice_dims, equation.outvars[0].aval.shape
    one_part = len(numbers.offset_dims) == len(out) and not numbers.operand_batching_dims
    if start.constant is None or start.constant.ndim != 1 or not one_part:
        raise Inexpressible("gather of several parts, or at a computed place")
    x = graph.plain(x, equation.invars[0].aval.shape)
    axes = numbers.start_index_map
    ends = [first + sizes[axis] for first, axis in zip(start.constant, axes, strict=True)]
    bounds = (graph.integers(*each) for each in (start.constant, ends, axes))
    name = graph.emit("Slice", graph.name(x), *bounds)
    if removed:
        name = graph.emit("Squeeze", name, graph.integers(*removed))
    return Value.stored(name, out)


def _concatenate(graph: Graph, equation: Any, values: list[Value]) -> Value:
    shapes = [atom.aval.shape for atom in equation.invars]
    order = next(v.order for v in values if v.constant is None)
    whole = [
        graph.ordered(graph.whole(v, shape), order) for v, shape in zip(values, shapes, strict=True)
    ]
    axis = order.index(equation.params["dimension"])
    name = graph.emit("Concat", *map(graph.name, whole), axis=axis)
    return Value.stored(name, equation.outvars[0].aval.shape, order)


def _split(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    x = graph.whole(values[0], equation.invars[0].aval.shape)
    sizes = [int(size) for size in equation.params["sizes"]]
    axis = x.place(equation.params["axis"])
    names = graph.emit_many("Split", len(sizes), x.name, graph.integers(*sizes), axis=axis)
    outs = zip(names, equation.outvars, strict=True)
    return [Value.stored(name, out.aval.shape, x.order) for name, out in outs]


def _size(graph: Graph, equation: Any, values: list[Value]) -> Value:
    size = graph.emit("Squeeze", graph.size(equation.params["dim"]), graph.integers(0))
    dtype = helper.np_dtype_to_tensor_dtype(equation.outvars[0].aval.dtype)
    return Value.stored(graph.emit("Cast", size, to=dtype), ())


_WRITTEN: dict[str, Callable[..., str]] = {
    **{name: partial(_write, op=op) for name, op in _ELEMENTWISE.items()},
    "convert_element_type": _cast,
    "integer_pow": _integer_pow,
    "is_finite": _is_finite,
    "max": _max,
    "ne": _ne,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "square": _square,
    "sub": _sub,
}
RULES: dict[str, Rule] = {
    **{name: partial(_elementwise, write=write) for name, write in _WRITTEN.items()},
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _conv,
    "copy": _same,
    "dim_as_value": _size,
    "dot_general": _dot,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "optimization_barrier": _same,
    "pad": _pad,
    "reduce_and": partial(_reduce, op="ReduceMin"),
    "reduce_max": partial(_reduce, op="ReduceMax"),
    "reduce_min": partial(_reduce, op="ReduceMin"),
    "reduce_or": partial(_reduce, op="ReduceMax"),
    "reduce_sum": partial(_reduce, op="ReduceSum"),
    "reduce_window_max": _max_pool,
    "reshape": _reshape,
    "slice": _slice,
    "sort": _sort,
    "split": _split,
    "squeeze": _squeeze,
    "stop_gradient": _same,
    "transpose": _transpose,
}
