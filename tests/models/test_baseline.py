import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import traverse_util

from ascjax import models


def build(**options):
    return models.create_model("baseline", "baseline", 10, head_width=100, dropout=0.3, **options)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def forward(variables, x, train, **options):
    """Returns the logits, and what every layer gave and what changed."""
    apply = functools.partial(
        build(**options).apply, train=train, rngs={"dropout": jax.random.key(0)},
        capture_intermediates=True, mutable=["batch_stats", "intermediates"],
    )  # fmt: skip
    return jax.jit(apply)(variables, jnp.array(x))


def variables_for(*shape):
    """Random ones, statistics too."""
    model = build()
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(shape), False))
    flat = traverse_util.flatten_dict(shapes, sep="/")
    values = {
        key: np.abs(normal(*leaf.shape, seed=i)) + 0.5
        if key.endswith("var")
        else normal(*leaf.shape, seed=i) / np.sqrt(np.prod(leaf.shape[:-1]))
        for i, (key, leaf) in enumerate(flat.items())
    }
    return traverse_util.unflatten_dict({k: jnp.array(v) for k, v in values.items()}, sep="/")


@pytest.mark.parametrize("frames", [500, 501])
def test_it_has_the_published_number_of_parameters(frames):
    shape = (1, 40, frames, 1)
    variables = jax.eval_shape(lambda: build().init(jax.random.key(0), jnp.zeros(shape), False))
    count = {name: sum(x.size for x in jax.tree.leaves(tree)) for name, tree in variables.items()}
    assert sum(count.values()) == 116_118
    assert count["batch_stats"] == 96


def test_it_computes_what_its_layers_in_torch_do():
    x = normal(2, 40, 60, 1)
    variables = variables_for(*x.shape)
    flat = traverse_util.flatten_dict(variables, sep="/")
    flat = {key: torch.from_numpy(np.array(value)) for key, value in flat.items()}
    y = torch.from_numpy(x).permute(0, 3, 1, 2)
    for block, pool in (("block1", (5, 5)), ("block2", (4, 12))):
        kernel, bias = (flat[f"params/trunk/{block}/conv/{name}"] for name in ("kernel", "bias"))
        y = torch.nn.functional.conv2d(y, kernel.permute(3, 2, 0, 1), bias, padding=3)
        y = torch.nn.functional.batch_norm(
            y.transpose(1, 2),  # the mel axis takes the channel's place
            flat[f"batch_stats/trunk/{block}/bn/mean"], flat[f"batch_stats/trunk/{block}/bn/var"],
            flat[f"params/trunk/{block}/bn/scale"], flat[f"params/trunk/{block}/bn/bias"], eps=1e-3,
        ).transpose(1, 2)  # fmt: skip
        y = torch.nn.functional.max_pool2d(torch.relu(y), pool)
    y = y.permute(0, 2, 3, 1).flatten(1)
    assert y.shape == (2, 128)
    y = torch.relu(y @ flat["params/head/hidden/kernel"] + flat["params/head/hidden/bias"])
    y = y @ flat["params/head/dense/kernel"] + flat["params/head/dense/bias"]
    logits, _ = forward(variables, x, train=False)
    np.testing.assert_allclose(logits, y.numpy(), atol=1e-4)
    assert np.std(logits) > 0.1


def test_batch_norm_is_over_the_mel_axis():
    x = normal(3, 20, 10, 1)
    variables = variables_for(*x.shape)
    _, kept = forward(variables, x, train=True)
    block = kept["intermediates"]["trunk"]["block1"]
    convolved = np.array(block["conv"]["__call__"][0], np.float64)
    scale, bias = (variables["params"]["trunk"]["block1"]["bn"][k] for k in ("scale", "bias"))
    for mel in range(20):
        band = convolved[:, mel]
        expected = (band - band.mean()) / np.sqrt(band.var() + 1e-3) * scale[mel] + bias[mel]
        np.testing.assert_allclose(block["bn"]["__call__"][0][:, mel], expected, atol=1e-5)
        for name, value in (("mean", band.mean()), ("var", band.var(ddof=1))):
            before, after = (
                float(tree["batch_stats"]["trunk"]["block1"]["bn"][name][mel])
                for tree in (variables, kept)
            )
            assert after == pytest.approx(0.99 * before + 0.01 * value, abs=1e-6)


def test_each_block_drops_three_tenths_in_training_alone():
    x = normal(4, 40, 60, 1)
    variables = variables_for(*x.shape)
    (_, tested), (_, trained) = (forward(variables, x, train) for train in (False, True))
    for block in ("block1", "block2"):
        before, after = (
            np.mean(np.equal(kept["intermediates"]["trunk"][block]["Dropout_0"]["__call__"][0], 0))
            for kept in (tested, trained)
        )
        assert before < 0.1  # by ReLU
        assert after == pytest.approx(0.3 + 0.7 * before, abs=0.08)


def test_fresh_kernels_are_as_in_keras():
    shape = (1, 40, 60, 1)
    params = jax.jit(lambda: build().init(jax.random.key(0), jnp.zeros(shape), False))()["params"]
    for layer, bound in {
        "trunk/block1/conv": np.sqrt(6 / (49 * (1 + 32))),
        "trunk/block2/conv": np.sqrt(6 / (49 * (32 + 64))),
        "head/hidden": 0.05,
        "head/dense": 0.05,
    }.items():
        leaves = functools.reduce(operator.getitem, layer.split("/"), params)
        assert np.abs(leaves["kernel"]).max() == pytest.approx(bound, rel=0.01)
        assert abs(leaves["kernel"].mean()) < 0.1 * bound
        assert not leaves["bias"].any()


def test_bfloat16_is_near_and_its_statistics_are_float32():
    x = normal(4, 40, 60, 1)
    variables = variables_for(*x.shape)
    exact, _ = forward(variables, x, train=True)
    near, kept = forward(variables, x, train=True, compute_dtype="bfloat16")
    assert kept["intermediates"]["trunk"]["block1"]["__call__"][0].dtype == jnp.bfloat16
    assert near.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(kept["batch_stats"])} == {np.dtype("float32")}
    assert 0 < np.abs(near - exact).max() < 0.2
