from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ascjax.compute import winograd

FILTERS = [(2, 3), (4, 3), (2, 5)]


@pytest.mark.parametrize(("side", "window"), FILTERS)
def test_a_row_is_filtered_with_one_product_a_point(side, window):
    data, kernel, output = winograd.matrices(side, window)
    rng = np.random.default_rng(0)
    row, taps = rng.normal(size=side + window - 1), rng.normal(size=window)
    np.testing.assert_allclose(
        output @ ((kernel @ taps) * (data @ row)), np.correlate(row, taps), rtol=1e-10
    )


def test_the_matrices_of_two_outputs_are_the_papers():
    data, kernel, output = winograd.matrices(2, 3)
    signs = np.array([[-1], [1], [1], [-1]])  # of a point, which cancel in its product
    np.testing.assert_array_equal(
        signs * data, [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
    )
    np.testing.assert_array_equal(2 * kernel, [[-2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
    np.testing.assert_array_equal(output, [[1, 1, 1, 0], [0, 1, -1, 1]])


@pytest.mark.parametrize(("side", "window"), FILTERS)
@pytest.mark.parametrize("shape", [(4, 9, 7), (3, 8, 12), (1, 1, 2)])
def test_output_and_gradients_are_the_plain_ones(side, window, shape, monkeypatch):
    monkeypatch.setattr(winograd, "_MAX_VALUES", 20_000)  # so that batches go in several chunks
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 3)
        x = jax.random.normal(keys[0], (*shape, 6), jnp.float64)
        kernel = jax.random.normal(keys[1], (window, window, 6, 10), jnp.float64)
        cotangent = jax.random.normal(keys[2], (*shape, 10), jnp.float64)

        def plain(x, kernel):
            edges = [(window // 2, window // 2)] * 2
            layout = ("NHWC", "HWIO", "NHWC")
            return lax.conv_general_dilated(x, kernel, (1, 1), edges, dimension_numbers=layout)

        @jax.jit
        def both(x, kernel, cotangent):
            out, pull_back = jax.vjp(plain, x, kernel)
            ours = (
                winograd.convolve(x, kernel, side),
                *winograd.gradients(x, kernel, cotangent, side),
            )
            return list(zip(ours, (out, *pull_back(cotangent)), strict=True))

        for ours, theirs in both(x, kernel, cotangent):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("shape", "window", "channels_out", "of_gradients", "of_output"),
    [
        ((12, 128, 71, 64), 3, 64, 4, None),  # transforms of more values than products are saved
        ((12, 32, 17, 256), 3, 256, 4, 4),
        ((12, 8, 4, 512), 3, 512, 2, None),  # few tiles for a large kernel
        ((18, 8, 4, 512), 3, 512, 2, 2),
        ((12, 4, 3, 512), 3, 512, None, None),
        ((12, 128, 71, 1), 3, 64, None, None),
        ((12, 128, 71, 64), 3, 32, None, None),
        ((12, 15, 8, 64), 5, 192, 2, None),
        ((12, 64, 36, 64), 7, 64, None, None),
        ((12, 64, 36, 64), 1, 64, None, None),
    ],
)
def test_the_side_that_takes_the_least_time(shape, window, channels_out, of_gradients, of_output):
    best = partial(winograd.best_side, shape, window, channels_out)
    assert best(transforms=False) == of_gradients
    assert best(transforms=True) == of_output


@pytest.mark.parametrize(
    ("batch", "values", "count"),
    [
        (12, 300_000, 1),
        (12, 400_000, 2),
        (12, 1_000_000, 3),
        (12, 9 * 10**9, 12),
        (7, 1_000_000, 7),
        (1, 9 * 10**9, 1),
    ],
)
def test_chunks_are_the_fewest_that_stay_in_the_caches(batch, values, count):
    assert winograd.num_chunks(batch, values) == count
