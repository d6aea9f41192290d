import jax
import jax.numpy as jnp
import pytest

from ascjax import cost, models


def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_a_product_of_matrices_counts_a_product_and_a_sum_for_each_term():
    assert cost.flops(lambda a, b: a @ b, array(3, 5), array(5, 7)) == 2 * 3 * 5 * 7


def test_a_convolution_by_hand():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    expected = 2 * (6 * 8) * (3 * 3 * 4) * 5
    assert cost.flops(convolve, array(1, 8, 10, 4), array(3, 3, 4, 5)) == expected


def test_vgg16_on_an_image_is_what_the_literature_says():
    """Its convolutions take 15.35 billion multiplications with their additions."""
    network = models.build("vgg16", "gap", 10)
    # XLA leaves out what falls on the padding.
    assert cost.of_fragment(network, (224, 224)) == pytest.approx(2 * 15.35e9, rel=0.05)
    assert cost.of_fragment(network, (224, 64)) < 0.3 * cost.of_fragment(network, (224, 224))
