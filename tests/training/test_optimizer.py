import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ascjax.errors import UserError
from ascjax.training import optimizer

PARAMS = {
    "trunk": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
    "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}
LEARNING_RATE = 0.1
NONE_FROZEN = jax.tree.map(lambda _: False, PARAMS)


def make(frozen=NONE_FROZEN, **options):
    settings = {
        "name": "sgd", "weight_decay": 0.0, "momentum": 0.0, "clip_norm": 0.0,
        "trunk_learning_rate_factor": 1.0,
    }  # fmt: skip
    settings |= options
    return optimizer.make(params=PARAMS, frozen=frozen, **settings)


def moved(optimizer, gradients):
    updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    return jax.tree.map(lambda p, u: LEARNING_RATE * float(u.ravel()[0]), PARAMS, updates)


def test_the_trunk_learns_at_its_own_rate():
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    by = moved(make(trunk_learning_rate_factor=0.5), ones)
    assert by["head"]["kernel"] == pytest.approx(-0.1)
    assert by["trunk"]["kernel"] == pytest.approx(-0.05)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_decay_is_on_kernels_only(name):
    by = moved(make(name=name, weight_decay=0.5), jax.tree.map(jnp.zeros_like, PARAMS))
    assert by["head"]["kernel"] == pytest.approx(-0.05)
    assert by["head"]["bias"] == 0


def test_frozen_parameters_stay_and_do_not_count_in_the_norm():
    frozen = {"trunk": {"kernel": True, "bias": True}, "head": {"kernel": False, "bias": False}}
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    gradients["trunk"] = jax.tree.map(lambda x: 1e6 * x, gradients["trunk"])
    by = moved(make(frozen, clip_norm=1.0, weight_decay=0.1), gradients)
    assert by["trunk"] == {"kernel": 0.0, "bias": 0.0}
    # Six head gradients of 1 have norm sqrt(6).
    assert by["head"]["bias"] == pytest.approx(-0.1 / np.sqrt(6))


def test_schedules_have_their_peak_and_end_where_they_say():
    def rates(name, warmup_steps=0):
        steps = {"num_steps": 100, "warmup_steps": warmup_steps}
        return optimizer.learning_rates(name, learning_rate=1.0, **steps)[:101]

    cosine = rates("cosine", 10)
    assert cosine[0] == pytest.approx(0.1)
    assert cosine[10] == cosine.max() == pytest.approx(1.0)
    assert cosine[100] == pytest.approx(0.0, abs=1e-6)
    one_cycle = rates("one_cycle")
    assert one_cycle.argmax() == 30
    assert one_cycle.max() == pytest.approx(1.0)
    np.testing.assert_allclose(rates("constant"), 1.0)


def test_unknown_names_list_the_choices():
    with pytest.raises(UserError, match=r"schedule: expected one of cosine, one_cycle"):
        optimizer.learning_rates("cosin", learning_rate=1.0, num_steps=10, warmup_steps=0)
    with pytest.raises(UserError, match=r"optimizer: .*did you mean 'adamw'"):
        make(name="adamww")
    with pytest.raises(UserError, match=r"warm-up takes 11 steps, more than the run's 10"):
        optimizer.learning_rates("cosine", learning_rate=1.0, num_steps=10, warmup_steps=11)
