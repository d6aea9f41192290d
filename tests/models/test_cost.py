import jax
import jax.numpy as jnp
import pytest

from ascjax import models
from ascjax.models import cost, vgg

SHAPE = (2, 128, 71, 1)


def vgg16():
    model = models.build("vgg16", "gap", 10)
    x = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    return model, variables["params"], x


def products_of_vgg16(batch, height, width, planes):
    """By hand: a 3 × 3 window at the edge has a row or column less, as padding isn't counted."""
    total = 0
    for num_convs, channels in zip(vgg.NUM_CONVS["vgg16"], (64, 128, 256, 512, 512), strict=True):
        for _ in range(num_convs):
            total += (3 * height - 2) * (3 * width - 2) * planes * channels
            planes = channels
        height, width = height // 2, width // 2
    return batch * (total + 512 * 10)


def test_a_dense_layer_is_counted_as_by_hand():
    x, w, b = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(8, 100), (100, 30), (8, 30)])
    # A product and an addition for each weight and example, and the bias.
    assert cost.flops(lambda x, w, b: x @ w + b, x, w, b) == 2 * 8 * 100 * 30 + 8 * 30


def test_vgg16_is_counted_as_by_hand():
    model, params, x = vgg16()
    counted = cost.flops(lambda p, x: model.apply({"params": p}, x, train=False), params, x)
    # The rest is biases, ReLUs and pools.
    assert counted == pytest.approx(2 * products_of_vgg16(*SHAPE), rel=0.01)
    assert counted > 2 * products_of_vgg16(*SHAPE)


def test_a_gradient_costs_two_more_forward_passes():
    model, params, x = vgg16()

    def total(params, x):
        return model.apply({"params": params}, x, train=False).sum()

    counted = cost.flops(jax.grad(total), params, x)
    first = 2 * (3 * 128 - 2) * (3 * 71 - 2) * 64 * SHAPE[0]  # nobody asks for its input's gradient
    assert counted == pytest.approx(6 * products_of_vgg16(*SHAPE) - first, rel=0.01)


def test_an_example_on_an_image_is_what_the_literature_says():
    """VGG-16 takes 15.35 billion products with their additions, those on the padding included."""
    network = models.build("vgg16", "gap", 10)
    assert cost.of_example(network, (224, 224)) == pytest.approx(2 * 15.35e9, rel=0.05)
