import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ascjax.models import layers

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("ascjax.deploy.onnx")


def rng_array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


WEIGHTS = {
    "kernel": rng_array(3, 3, 3, 5),
    "matrix": rng_array(4, 6, seed=1),
    "int8": np.arange(-4, 4, dtype=np.int8).reshape(8, 1),
}


def convolutions(w, x):
    """As networks are written, channels last: [window, 6, 8, 3]."""
    y = jax.lax.conv_general_dilated(
        x, w["kernel"], (2, 1), [(1, 1), (0, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    y = (y - jnp.arange(5.0).reshape(1, 1, 1, 5)) * 0.5 + jnp.ones((1, 1, 1, 5))
    y = jax.nn.relu(y)
    return y, nn_pool(y), y.mean((1, 2)), y.max(axis=(1, 3)), jnp.repeat(x[..., :1], 2, axis=-1)


def nn_pool(x):
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 3, 2, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (0, 0), (0, 0)]
    )


def products(w, x):
    left = jnp.einsum("ah,bhwc->abwc", w["matrix"], x)
    right = jnp.matmul(x.transpose(0, 3, 2, 1), w["matrix"].T)
    scaled = x * (w["int8"].astype(jnp.float32) / 8)[None, None, :, :]
    return (
        left,
        right,
        scaled,
        jnp.einsum("bhwc,bhvc->bwvh", x, x),
        jnp.einsum("bhwc,bc->bwh", x, x[:, 0, 0]),
    )


def pieces(w, x):
    a, b = jnp.split(x.transpose(0, 2, 1, 3), 2, axis=1)
    padded = jnp.pad(x, [(0, 0), (2, 1), (0, 0), (1, 0)], constant_values=-1.0)
    joined = jnp.concatenate(
        [a, b * jnp.ones((1, 1, 1, 1)), x[:, :, :4].transpose(0, 2, 1, 3)], axis=2
    )
    sliced = jax.lax.slice_in_dim(padded, 1, 8, 3, axis=1)
    one, last = x[:, 2], jax.lax.dynamic_slice_in_dim(x, 7, 3, axis=1)
    return joined, sliced, one, last, x.reshape(-1, 4, 12), jnp.sort(x, axis=2), x[:, 1:3, 2]


def elementwise(w, x):
    safe = jnp.where(jnp.isfinite(x) & (x > -0.5) | (x == 0), x, -jnp.inf)
    powers = jnp.square(x), x**3, jax.lax.rsqrt(jnp.abs(x) + 1), jnp.tanh(x), jax.nn.sigmoid(x)
    size = x.mean(axis=0, keepdims=True) * jnp.ones_like(x)  # over the dynamic axis
    return safe, *powers, jax.nn.softmax(x), size, jnp.isfinite(safe).all(-1)


@pytest.mark.parametrize("function", [convolutions, products, pieces, elementwise])
def test_primitives_of_any_number_of_windows(function):
    (window,) = jax.export.symbolic_shape("window")

    def named(w, x):
        return {f"out{index}": each for index, each in enumerate(function(w, x))}

    struct = jax.ShapeDtypeStruct((window, 6, 8, 3), np.float32)
    model = onnx.convert(named, WEIGHTS, {"x": struct})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    for windows in (1, 3):
        x = rng_array(windows, 6, 8, 3, seed=windows)
        found = dict(zip(names, session.run(names, {"x": x}), strict=True))
        for name, expected in jax.jit(named)(WEIGHTS, x).items():
            np.testing.assert_allclose(found[name], expected, atol=2e-5, rtol=1e-5, err_msg=name)


def test_no_array_is_moved_between_convolutions():
    (window,) = jax.export.symbolic_shape("window")

    def function(w, x):
        for _ in range(3):
            x = jax.lax.conv_general_dilated(
                x, w["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = layers.max_pool(jax.nn.relu(x + jnp.ones((1, 1, 1, 3))), 1, 1)
        return {"y": x.mean((1, 2))}

    kernel = {"kernel": rng_array(3, 3, 3, 3)}
    struct = jax.ShapeDtypeStruct((window, 6, 8, 3), np.float32)
    model = onnx.convert(function, kernel, {"x": struct})
    assert [node.op_type for node in model.graph.node].count("Transpose") == 1  # of the input


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda w, x: {"y": jnp.fft.rfft(x).real}, "fft"),
        (lambda w, x: {"y": jax.lax.scan(lambda c, v: (c + v, c), x[0], x)[1]}, "scan"),
        (lambda w, x: {"y": x[:, jnp.argsort(x[0])]}, "gather|sort"),
    ],
)
def test_what_is_not_converted_is_named(function, named):
    struct = jax.ShapeDtypeStruct((2, 4), np.float32)
    with pytest.raises(onnx.Inexpressible, match=named):
        onnx.convert(function, {}, {"x": struct})
