import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from ascjax.models import layers


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def to_torch(x):
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)


def from_torch(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 2, 1)])
@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_and_its_gradient_are_torchs(window, stride, padding, size, ties):
    x = normal(2, *size, 3)
    if ties:
        x = np.round(x).clip(0, 1)
    twin = to_torch(x).requires_grad_()
    expected = torch.nn.functional.max_pool2d(twin, window, stride, padding)
    cotangent = normal(*from_torch(expected).shape, seed=1)

    @jax.jit
    def pooled_and_gradient(x, cotangent):
        pooled, pull_back = jax.vjp(lambda x: layers.max_pool(x, window, stride, padding), x)
        return pooled, *pull_back(cotangent)

    pooled, gradient = pooled_and_gradient(x, cotangent)
    np.testing.assert_array_equal(pooled, from_torch(expected))
    expected.backward(to_torch(cotangent))
    np.testing.assert_allclose(gradient, from_torch(twin.grad), atol=1e-6)


@pytest.mark.parametrize("where", range(4))
def test_max_pool_lets_nan_through(where):
    x = np.zeros((1, 2, 2, 1), np.float32)
    x.flat[where] = np.nan
    assert np.isnan(layers.max_pool(jnp.array(x), 2, 2)).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 6), (6, 7), (7, 7), (9, 14), (13, 20)])
@pytest.mark.parametrize("side", [1, 6, 7])
def test_adaptive_avg_pool_is_torchs(size, side):
    x = normal(2, *size, 3)
    expected = torch.nn.functional.adaptive_avg_pool2d(to_torch(x), side)
    pooled = jax.jit(lambda x: layers.adaptive_avg_pool(x, side))(x)
    np.testing.assert_allclose(pooled, from_torch(expected), atol=1e-6)


def test_flatten_is_in_torchs_order():
    x = normal(2, 3, 4, 5)
    expected = torch.flatten(to_torch(x), 1).numpy()
    np.testing.assert_array_equal(layers.flatten_channels_first(jnp.array(x)), expected)


def test_batch_norm_trains_as_torchs():
    x = 3 * normal(4, 5, 6, 7) + 1
    module = layers.BatchNorm()
    variables = jax.jit(module.init, static_argnums=2)(jax.random.key(0), x, False)
    twin = torch.nn.BatchNorm2d(7)
    for step in range(3):
        step_x = x * (1 + step)
        y, updates = module.apply(variables, jnp.array(step_x), True, mutable=["batch_stats"])
        variables = {**variables, **updates}
        np.testing.assert_allclose(y, from_torch(twin(to_torch(step_x))), atol=2e-6)
    stats = variables["batch_stats"]
    np.testing.assert_allclose(stats["mean"], twin.running_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stats["var"], twin.running_var, rtol=1e-5)
    twin.eval()
    y = module.apply(variables, jnp.array(x), False)
    np.testing.assert_allclose(y, from_torch(twin(to_torch(x))), atol=2e-6)


@pytest.mark.parametrize("axis", [1, 3])
def test_synchronised_batch_norm_equals_one_big_batch(axis):
    x = 2 * normal(8, 3, 4, 5) + 1
    alone = layers.BatchNorm(axis=axis)
    together = layers.BatchNorm(axis_name="device", axis=axis)
    variables = jax.jit(together.init, static_argnums=2)(jax.random.key(0), x, False)
    apply = jax.jit(lambda x: alone.apply(variables, x, True, mutable=["batch_stats"]))
    y, updates = apply(x)
    step = jax.pmap(
        lambda x: together.apply(variables, x, True, mutable=["batch_stats"]), axis_name="device"
    )
    synced_y, synced_updates = step(x.reshape(4, 2, 3, 4, 5))
    np.testing.assert_allclose(synced_y.reshape(y.shape), y, atol=1e-5)
    for expected, got in zip(
        jax.tree.leaves(updates), jax.tree.leaves(synced_updates), strict=True
    ):
        for device in range(4):
            np.testing.assert_allclose(got[device], expected, rtol=1e-5, atol=1e-6)


def test_one_value_a_channel_gives_finite_statistics():
    x = jnp.ones((1, 1, 1, 2))
    module = layers.BatchNorm()
    variables = module.init(jax.random.key(0), x, True)
    _, updates = module.apply(variables, x, True, mutable=["batch_stats"])
    assert np.isfinite(jax.tree.leaves(updates)).all()


def test_initialisers_have_the_deviations_of_he_and_of_torch():
    key = jax.random.key(0)
    for init, fan in ((layers.kaiming_normal, 128), (layers.he_normal, 64)):
        kernel = init(key, (3, 3, 64, 128))
        assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * fan)), rel=0.02)
    for values in (
        layers.torch_uniform(key, (3, 3, 64, 128)),
        layers.torch_uniform_bias(9 * 64)(key, (4096,)),
    ):
        assert np.abs(values).max() == pytest.approx(1 / np.sqrt(9 * 64), rel=0.01)
        assert values.std() == pytest.approx(1 / np.sqrt(3 * 9 * 64), rel=0.05)
