from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ascjax import fusion, models
from ascjax.models.attention import cut


def posteriors(network, variables, x):
    return np.asarray(jax.nn.softmax(jax.jit(partial(network.apply, train=False))(variables, x)))


def networks(count, overlap=0.0):
    """The network that fuses its fragments, the one that sees them one by one, and both's start."""
    attending = models.build("vgg_tiny", "gap", 3, attend_over=(count, overlap))
    single = models.build("vgg_tiny", "gap", 3)
    x = jax.random.normal(jax.random.key(0), (2, 32, 32 * count, 1))
    variables = jax.jit(attending.init, static_argnames="train")(jax.random.key(1), x, train=False)
    return attending, single, variables, x


def test_it_starts_as_the_mean_over_fragments():
    attending, single, variables, x = networks(count=3)
    params = variables["params"]
    of_single = {
        **variables,
        "params": {"trunk": params["trunk"], "head": params["head"]["each"]},
    }
    pieces = posteriors(single, of_single, cut(x, 3, 0.0)).reshape(2, 1, 3, 3)
    expected = fusion.fuse(pieces, fragments="mean", channels="mean")
    np.testing.assert_allclose(posteriors(attending, variables, x), expected, rtol=1e-5)


def test_it_learns_which_fragment_to_listen_to():
    attending, _, variables, x = networks(count=2)

    def loss(params):
        logits = attending.apply({**variables, "params": params}, x, train=False)
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    slope = jax.jit(jax.grad(loss))(variables["params"])["head"]["weight"]["kernel"]
    assert np.abs(slope).max() > 0


def test_a_large_weight_leaves_one_fragment_alone():
    attending, single, variables, x = networks(count=2)
    head = variables["params"]["head"]
    of_single = {**variables, "params": {**variables["params"], "head": head["each"]}}
    each = posteriors(single, of_single, cut(x, 2, 0.0)).reshape(2, 2, 3)
    loud = {**head, "weight": {"kernel": 1e6 * jnp.ones((128, 1)), "bias": jnp.zeros(1)}}
    params = {**variables["params"], "head": loud}
    fused = posteriors(attending, {**variables, "params": params}, x)
    for example in range(2):
        distances = np.abs(each[example] - fused[example]).max(axis=1)
        assert distances.min() < 1e-5 < distances.max()


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_fragments_come_one_after_the_other(overlap):
    x = jnp.arange(2 * 4 * 9.0).reshape(2, 4, 9, 1)
    pieces = cut(x, 2, overlap)
    width = pieces.shape[2]
    np.testing.assert_array_equal(pieces[0], x[0, :, :width])
    np.testing.assert_array_equal(pieces[3], x[1, :, round(width * (1 - overlap)) :][:, :width])
