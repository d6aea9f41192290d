import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_set import make_part
from tiny_training import DEVIATION, MEAN, Network

from ascjax.compute.devices import local_devices, replicate
from ascjax.errors import UserError
from ascjax.training.evaluator import Evaluator, NonFinitePosteriors, validation_numbers


def make(num_devices=1, **options):
    network = Network(**options)
    variables = network.init(jax.random.key(0), jnp.zeros((1, 32, 33, 1)), train=False)
    devices = local_devices(num_devices)
    evaluator = Evaluator(network, MEAN, DEVIATION, devices, 8)
    return evaluator, replicate(variables, devices)


def test_posteriors_sum_to_one_and_do_not_depend_on_the_number_of_devices():
    fragments = make_part(21)  # 42 fragments: two rounds of batches of 8, the last padded
    evaluator, variables = make()
    posteriors = evaluator(variables, fragments)
    assert posteriors.shape == (21, 1, 2, 3)
    np.testing.assert_allclose(posteriors.sum(-1), 1, rtol=1e-6)
    evaluator, variables = make(num_devices=4)
    np.testing.assert_allclose(evaluator(variables, fragments), posteriors, rtol=1e-5)


def test_posteriors_that_are_not_finite_are_an_error_in_one_line():
    fragments = make_part(6)
    fragments.log_mel[[2, 5]] = np.nan
    evaluator, variables = make()
    with pytest.raises(NonFinitePosteriors, match=r"infinity for 2 of 6 recordings$") as caught:
        evaluator(variables, fragments)
    assert isinstance(caught.value, UserError)


def test_validation_numbers_are_of_fused_posteriors():
    # Fragments of recording 0 disagree; their mean is (0.6, 0.4).
    posteriors = np.array([[[[0.9, 0.1], [0.3, 0.7]]], [[[0.8, 0.2], [0.8, 0.2]]]], np.float32)
    methods = {"fragments": "mean", "channels": "mean"}
    numbers = validation_numbers(posteriors, np.array([0, 1]), methods)
    assert numbers["validation/accuracy"] == 0.5
    assert numbers["validation/loss"] == pytest.approx(-np.log([0.6, 0.2]).mean(), rel=1e-6)
