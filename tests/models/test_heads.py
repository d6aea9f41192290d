import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ascjax.models.heads import HEADS

# A feature map of one example, 1 mel × 2 frames × 2 channels.
FEATURES = jnp.array([[[[1.0, 2.0], [3.0, 6.0]]]])
DENSE = {"kernel": jnp.array([[1.0, 0.0], [0.5, -1.0]]), "bias": jnp.array([0.0, 10.0])}


def test_gap_by_hand():
    logits = HEADS["gap"](2).apply({"params": {"dense": DENSE}}, FEATURES, False)
    # Mean over the two positions: (2, 4); 2·1 + 4·0.5 = 4 and 2·0 − 4 + 10 = 6.
    np.testing.assert_allclose(logits, [[4.0, 6.0]], rtol=1e-6)


def test_mlp_by_hand():
    params = {
        "w": {"kernel": jnp.array([[1.0, 0.0], [0.0, 0.5]]), "bias": jnp.array([-1.0, 1.0])},
        "u": jnp.array([2.0, -1.0]),
        "dense": DENSE,
    }
    logits = HEADS["mlp"](2, head_width=2).apply({"params": params}, FEATURES, False)
    # W a + b is (0, 2) at the first position and (2, 4) at the second;
    # e = u ∘ tanh(...): (0, −tanh 2) and (2 tanh 2, −tanh 4); their mean:
    first = np.tanh(2.0)
    second = -(np.tanh(2.0) + np.tanh(4.0)) / 2
    np.testing.assert_allclose(logits, [[first + second / 2, 10 - second]], rtol=1e-6)


def test_mlp_is_not_a_layer_on_the_mean():
    # tanh comes before the mean over positions: +9 and −9 cancel only after it.
    params = {
        "w": {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)},
        "u": jnp.ones(1),
        "dense": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)},
    }
    features = jnp.array([9.0, -9.0]).reshape(1, 2, 1, 1)
    logits = HEADS["mlp"](1, head_width=1).apply({"params": params}, features, False)
    np.testing.assert_allclose(logits, [[0.0]], atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_dropout_is_just_before_the_last_layer(head):
    module = HEADS[head](3, dropout=0.5)
    features = jnp.array(np.random.default_rng(0).normal(size=(4, 2, 3, 8)).astype(np.float32))
    variables = jax.jit(module.init, static_argnums=2)(jax.random.key(1), features, False)
    apply = jax.jit(
        lambda key: module.apply(
            variables, features, True, rngs={"dropout": key}, capture_intermediates=True
        )
    )
    _, captured = apply(jax.random.key(2))
    dropped = captured["intermediates"]["Dropout_0"]["__call__"][0]
    assert dropped.ndim == 2  # after the mean over positions
    kernel, bias = (variables["params"]["dense"][k] for k in ("kernel", "bias"))
    logits = captured["intermediates"]["dense"]["__call__"][0]
    np.testing.assert_allclose(logits, dropped @ kernel + bias.reshape(1, -1), atol=1e-5)
    assert 0.2 < np.mean(dropped == 0) < 0.8
