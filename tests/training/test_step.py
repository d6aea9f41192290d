from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_set import make_part
from tiny_training import DEVIATION, MEAN, NO_AUGMENTATION, Run

from ascjax import models
from ascjax.compute.devices import AXIS, local_devices, pmap, replicate, unreplicate
from ascjax.training import augment, optimizer
from ascjax.training.step import (
    Distillation,
    StepConfig,
    StepInputs,
    initial_state,
    step_key,
    train_step,
)


def take_step(config, inputs, variables, batch):
    """The state after one step on one device."""
    devices = local_devices(1)
    step = pmap(lambda state, args: train_step(state, *args, config=config), devices)
    state = replicate(initial_state(config, variables), devices)
    return unreplicate(step(state, replicate((batch, inputs), devices))[0])


class Constant(nn.Module):
    """Always predicts scene 1."""

    @nn.compact
    def __call__(self, x, train):
        bias = self.param("bias", lambda _: jnp.array([0.0, 1.0, 0.0]))
        return jnp.tile(bias, (len(x), 1))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_accuracy_is_the_share_of_the_mixed_label_that_the_prediction_has(alpha):
    settings = {**NO_AUGMENTATION, "mixup_alpha": alpha}
    config = StepConfig(Constant(), optax.sgd(1.0), 3, 0.1, settings)
    inputs = StepInputs(MEAN, DEVIATION, np.zeros(1, np.float32), step_key(0))
    batch = {
        "log_mel": np.ones((8, 32, 4, 1), np.float32),
        "label": np.array([0, 1, 2, 1, 0, 1, 2, 2], np.int32),
    }
    variables = {"params": {"bias": np.array([0, 1, 0], np.float32)}}
    metrics = take_step(config, inputs, variables, batch).metrics.compute()
    _, augment_key = jax.random.split(jax.random.fold_in(inputs.key, 0))
    _, mixed = augment.augment(
        augment_key, jnp.asarray(batch["log_mel"]), jax.nn.one_hot(batch["label"], 3), **settings
    )
    assert metrics["accuracy"] == pytest.approx(float(mixed[:, 1].mean()))
    if not alpha:
        assert metrics["accuracy"] == 3 / 8


def test_a_teachers_scores_are_learned_from_beside_the_labels():
    taught = np.float32([[0.7, 0.2, 0.1]] * 4)
    batch = {
        "log_mel": np.ones((4, 32, 4, 1), np.float32),
        "label": np.full(4, 2, np.int32),
        "target": taught,
    }
    inputs = StepInputs(MEAN, DEVIATION, np.ones(1, np.float32), step_key(0))
    variables = {"params": {"bias": np.float32([0, 1, 0])}}
    weight, temperature = 0.3, 2.0
    config = StepConfig(
        Constant(), optax.sgd(1.0), 3, 0.0, NO_AUGMENTATION, Distillation(weight, temperature)
    )
    state = take_step(config, inputs, variables, batch)
    # By hand: the gradient of a cross entropy is predicted less wanted; T² / T is left of both T.
    own, soft = (np.exp([0, 1 / t, 0]) / np.exp([0, 1 / t, 0]).sum() for t in (1, temperature))
    wanted = np.sqrt(taught[0]) / np.sqrt(taught[0]).sum()
    gradient = (1 - weight) * (own - [0, 0, 1]) + weight * temperature * (soft - wanted)
    np.testing.assert_allclose(state.params["bias"], [0, 1, 0] - gradient, rtol=1e-5, atol=1e-6)


def test_the_keys_of_steps_are_no_seeds_key_of_initial_weights():
    def data(keys):
        return {tuple(jax.random.key_data(key).tolist()) for key in keys}

    steps = data(step_key(seed) for seed in range(50))
    assert len(steps) == 50
    assert not steps & data(jax.random.key(seed) for seed in range(60))


def build(**options):
    """vgg_tiny for training, its variables, and an optimiser with decay."""
    network = models.create_model("vgg_tiny", "gap", 3, axis_name=AXIS, **options)
    evaluation = models.create_model("vgg_tiny", "gap", 3, **options)
    init = jax.jit(partial(evaluation.init, train=False))
    return network, evaluation, init(jax.random.key(0), jnp.zeros((1, 32, 33, 1)))


def test_frozen_blocks_stay_to_the_bit_with_their_statistics():
    network, _, variables = build(freeze="trunk")
    transformation = optimizer.make(
        "adamw", variables["params"],
        models.frozen_mask(variables["params"], "vgg_tiny", "trunk"),
        weight_decay=0.1, momentum=0.9, clip_norm=1.0, trunk_learning_rate_factor=1.0,
    )  # fmt: skip
    config = StepConfig(network, transformation, 3, 0.0, NO_AUGMENTATION)
    inputs = StepInputs(MEAN, DEVIATION, np.full(1, 0.1, np.float32), step_key(0))
    taken = make_part().take(np.arange(8))
    batch = {name: taken[name] for name in ("log_mel", "label")}
    state = take_step(config, inputs, variables, batch)
    same = partial(jax.tree.map, np.testing.assert_array_equal)
    same(state.params["trunk"], variables["params"]["trunk"])
    same(state.batch_stats, variables["batch_stats"])
    moved = state.params["head"]["dense"]["kernel"] - variables["params"]["head"]["dense"]["kernel"]
    assert np.abs(moved).min() > 0


def test_bf16_computes_in_bf16_keeps_all_in_f32_and_learns_as_f32_does(tmp_path):
    def fit(dtype, seed=0):
        def network(dropout=0.0, axis_name=None):
            return models.create_model(
                "vgg_tiny", "gap", 3, compute_dtype=dtype, axis_name=axis_name
            )

        path = tmp_path / f"{dtype} {seed}"
        options = {"optimizer_name": "adamw", "learning_rate": 1e-3, "rates": "cosine"}
        run = Run(path, network=network, seed=seed, num_epochs=6, **options)
        return run.fit(), run.lines()[-1]

    by_seed = [fit("float32", seed)[1] for seed in range(2)]
    state, last = fit("bfloat16")
    for number in ("train/loss", "train/accuracy"):
        in_f32 = [line[number] for line in by_seed]
        # Noise is what another seed makes of it.
        assert abs(last[number] - in_f32[0]) <= np.ptp(in_f32)
    kept = (state.params, state.batch_stats, state.opt_state, state.metrics)
    kinds = {x.dtype for x in jax.tree.leaves(kept)}
    assert kinds == {np.dtype("float32"), np.dtype("int32")}  # and steps
    _, evaluation, variables = build(compute_dtype="bfloat16")
    logits, kept = jax.eval_shape(
        lambda x: evaluation.apply(
            variables, x, train=False, capture_intermediates=True, mutable=["intermediates"]
        ),
        jnp.ones((2, 32, 33, 1)),
    )
    assert logits.dtype == jnp.float32
    trunk = {x.dtype for x in jax.tree.leaves(kept["intermediates"]["trunk"])}
    assert np.dtype(jnp.bfloat16) in trunk
