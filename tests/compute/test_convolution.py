import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ascjax.compute.convolution import MAX_POSITIONS_PER_CHANNEL, convolve, use
from ascjax.errors import UserError

LAYOUT = ("NHWC", "HWIO", "NHWC")


def gradients(convolution, x, kernel, padding, stride=1):
    """Output, and gradients of x and the kernel for a cotangent of its own, by one program."""

    def of(x, kernel):
        return convolution(x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT)

    @jax.jit
    def output_and_gradients(x, kernel, cotangent):
        out, pull_back = jax.vjp(of, x, kernel)
        return out, *pull_back(cotangent)

    out = jax.eval_shape(of, x, kernel)
    return output_and_gradients(x, kernel, normal(9, out.shape, out.dtype))


def normal(seed, shape, dtype=jnp.float32):
    """Values by NumPy: for each shape JAX would compile a program that draws them."""
    return jnp.array(np.random.default_rng(seed).standard_normal(shape, np.float32).astype(dtype))


def arrays(shape, window, channels_out, dtype=jnp.float32):
    x = normal(0, shape, dtype)
    return x, normal(1, (*window, shape[-1], channels_out), dtype)


KERNELS = [
    ((3, 3), [(1, 1), (1, 1)], 1, 16),
    ((1, 1), [(0, 0), (0, 0)], 1, 16),
    ((5, 3), [(2, 2), (0, 0)], 1, 16),
    ((2, 4), [(0, 1), (3, 0)], 1, 1),
    ((1, 1), [(0, 0), (0, 0)], 2, 16),
    ((3, 3), [(1, 1), (1, 1)], 2, 3),
    ((7, 7), [(3, 3), (3, 3)], 2, 1),
    ((4, 2), [(0, 3), (2, 0)], 3, 2),
]


LARGE = [*((3, *kernel) for kernel in KERNELS), (1, *KERNELS[0])]


@pytest.mark.parametrize(("batch", "window", "padding", "stride", "planes"), LARGE)
def test_gradients_in_large_maps_are_xlas(batch, window, padding, stride, planes):
    x, kernel = arrays((batch, 25 * stride + 1, 22 * stride, planes), window, 24)
    ours = gradients(convolve, x, kernel, padding, stride)
    plain = gradients(lax.conv_general_dilated, x, kernel, padding, stride)
    assert np.prod(plain[0].shape[:3]) > MAX_POSITIONS_PER_CHANNEL * 24
    assert_equal(ours, plain)


@pytest.mark.parametrize(("window", "padding", "stride", "planes"), KERNELS)
def test_gradients_in_small_maps_are_xlas(window, padding, stride, planes):
    x, kernel = arrays((2, 5 * stride + 3, 4 * stride + 4, planes), window, 64)
    ours = gradients(convolve, x, kernel, padding, stride)
    plain = gradients(lax.conv_general_dilated, x, kernel, padding, stride)
    assert np.prod(plain[0].shape[:3]) <= MAX_POSITIONS_PER_CHANNEL * 64
    assert_equal(ours, plain)


def assert_equal(ours, plain, rounding=2e-5):
    for got, expected in zip(ours, plain, strict=True):
        np.testing.assert_allclose(got, expected, atol=rounding * np.abs(expected).max())


@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize(
    ("shape", "channels_out", "output_too"),
    [((4, 21, 18, 64), 72, False), ((8, 24, 23, 192), 200, True)],
)
def test_kernels_of_many_channels_go_by_tiles_unless_the_highest_precision_is_asked_for(
    window, shape, channels_out, output_too
):
    x, kernel = arrays(shape, (window, window), channels_out)
    padding = [(window // 2, window // 2)] * 2

    def output(x, kernel):
        return convolve(x, kernel, (1, 1), padding, dimension_numbers=LAYOUT)

    assert ("dot_general" in str(jax.make_jaxpr(output)(x, kernel))) is output_too
    plain = gradients(lax.conv_general_dilated, x, kernel, padding)
    ours = gradients(convolve, x, kernel, padding)
    assert_equal(ours, plain, 5e-5)
    with jax.default_matmul_precision("highest"):
        assert "dot_general" not in str(jax.make_jaxpr(output)(x, kernel))
        np.testing.assert_array_equal(output(x, kernel), plain[0])


@pytest.mark.parametrize(
    ("padding", "stride", "dtype", "rounding"),
    [
        ([(2, 0), (1, 1)], 1, jnp.float32, 2e-5),
        ([(1, 1), (1, 1)], 2, jnp.float32, 2e-5),
        ([(1, 1), (1, 1)], 1, jnp.bfloat16, 2e-2),
        ([(7, 0), (5, 9)], 2, jnp.float32, 2e-5),
    ],
)
def test_what_tiles_do_not_serve_goes_by_the_plain_sum(padding, stride, dtype, rounding):
    x, kernel = arrays((2, 21, 18, 64), (3, 3), 64, dtype)
    plain = gradients(lax.conv_general_dilated, x, kernel, padding, stride)
    ours = gradients(convolve, x, kernel, padding, stride)
    np.testing.assert_array_equal(ours[0], plain[0])
    wide = [[a.astype(jnp.float32) for a in arrays] for arrays in (ours, plain)]
    assert_equal(*wide, rounding)


@pytest.mark.parametrize(
    "asked",
    [
        {"rhs_dilation": (2, 2)},
        {"lhs_dilation": (2, 2)},
        {"feature_group_count": 2},
        {"precision": lax.Precision.HIGHEST},
    ],
)
def test_what_else_can_be_asked_of_a_convolution_is_left_to_xla(asked):
    x, kernel = arrays((4, 21, 18, 64), (3, 3), 64)
    kernel = kernel[:, :, : 64 // asked.get("feature_group_count", 1)]
    given = (x, kernel, (1, 1), [(1, 1), (1, 1)])
    ours = convolve(*given, dimension_numbers=LAYOUT, **asked)
    plain = lax.conv_general_dilated(*given, dimension_numbers=LAYOUT, **asked)
    np.testing.assert_array_equal(ours, plain)


def test_xlas_own_is_used_where_that_is_asked_for():
    x, kernel = arrays((2, 12, 10, 64), (3, 3), 64)

    def program():
        return str(jax.make_jaxpr(lambda *a: gradients(convolve, *a, [(1, 1), (1, 1)]))(x, kernel))

    ours = program()
    with use("xla"):
        plain = program()
        with use("auto"):
            assert program() == ours
    assert program() == ours
    assert "dot_general" in ours
    assert "dot_general" not in plain
    with pytest.raises(UserError, match="expected one of auto, xla, got 'xls'"), use("xls"):
        pass


def test_other_platforms_are_left_to_xla():
    x, kernel = arrays((4, 21, 18, 64), (3, 3), 64)
    function = jax.jit(lambda *a: gradients(convolve, *a, [(1, 1), (1, 1)]))
    lowered = function.trace(x, kernel).lower(lowering_platforms=("tpu",)).as_text()
    assert lowered.count("stablehlo.convolution") == 3
    assert "dot_general" not in lowered


def test_bfloat16_sums_are_taken_in_float32():
    x, kernel = arrays((2, 64, 64, 16), (3, 3), 16, jnp.bfloat16)
    padding = [(1, 1), (1, 1)]
    got = gradients(convolve, x, kernel, padding)[2]
    assert got.dtype == jnp.bfloat16
    wide = [a.astype(jnp.float32) for a in (x, kernel)]
    out = lax.conv_general_dilated(*wide, (1, 1), padding, dimension_numbers=LAYOUT)
    cotangent = normal(9, out.shape, jnp.bfloat16).astype(jnp.float32)
    expected = jax.vjp(
        lambda k: lax.conv_general_dilated(wide[0], k, (1, 1), padding, dimension_numbers=LAYOUT),
        wide[1],
    )[1](cotangent)[0]
    # The rounding of one bfloat16 number, not of thousands of sums.
    np.testing.assert_allclose(got.astype(jnp.float32), expected, rtol=2**-7, atol=0.02)
