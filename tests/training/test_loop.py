import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_set import make_part

from ascjax.compute.devices import local_devices, replicate, unreplicate
from ascjax.configs import common
from ascjax.data import batches
from ascjax.data.batches import Fragments
from ascjax.errors import UserError
from ascjax.setup import builders
from ascjax.signals import Stopped, StopRequest
from ascjax.training import loop
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.evaluator import Evaluator, score
from ascjax.training.journal import Journal
from ascjax.training.step import initial_state, variables

MEAN, DEVIATION = np.full(32, 0.5, np.float32), np.full(32, 2.0, np.float32)


def make_config(**overrides):
    config = common.get_config()
    config.model.trunk = "vgg_tiny"
    config.model.head = "mlp"
    config.model.head_width = 16
    config.train.batch_size = 8
    config.train.num_epochs = 3
    config.optimizer.learning_rate = 1e-3
    config.log_every_steps = 2
    config.update_from_flattened_dict(overrides)
    return config


class Run:
    """A trainer on a part, in a folder."""

    def __init__(
        self, path, config, part=None, num_devices=1, validate=False,
        mean=MEAN, deviation=DEVIATION,
    ):  # fmt: skip
        self.part = make_part() if part is None else part
        self.path = path
        self.over = local_devices(num_devices)
        networks = builders.build_networks(config, num_scenes=3, input_shape=(32, 33))
        plan = builders.build_plan(config, self.part)
        self.recipe = builders.build_recipe(
            config, networks, plan, num_scenes=3, mean=mean, deviation=deviation
        )
        self.checkpoints = Checkpoints(path / "checkpoints", keep=config.checkpoint.keep)
        self.stop = StopRequest()
        self.initial = initial_state(self.recipe, networks.variables)
        latest = self.checkpoints.latest()
        state = self.initial if latest is None else self.checkpoints.restore(latest, self.initial)
        self.state = state
        self.evaluator = Evaluator(networks.evaluation, mean, deviation, self.over, 8)
        self.evaluate = lambda variables: self.evaluator(variables, self.part)
        path.mkdir(exist_ok=True)
        journal = Journal(
            path, step=int(state.step), num_steps=plan.num_steps, fragments_per_step=8
        )

        def rate(variables):
            values = self.evaluate(variables)
            options = {"fragment_fusion": "mean", "channel_fusion": "mean"}
            return score(values, self.part.labels, **options)

        self.trainer = loop.Trainer(
            self.recipe, plan, self.over, rate if validate else None, self.checkpoints, journal,
            self.stop,
        )  # fmt: skip

    def fit(self):
        return self.trainer.fit(self.state)

    def lines(self):
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]


def assert_trees_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_another_fold_seed_length_or_learning_rate_needs_no_other_program(tmp_path):
    def programs(path, config, **options):
        run = Run(path, config, **options)
        run.trainer.journal.close()
        step, stream = run.trainer._feed(0)
        state, (_, inputs) = replicate(run.initial, run.over), next(stream)
        of_evaluation = {**inputs, "batches": inputs["batches"]["log_mel"]}
        of_evaluation["given"] = run.evaluator._given
        return [
            step.lower(state, inputs).as_text(),
            run.evaluator._round.lower(variables(state), of_evaluation).as_text(),
        ]

    one = programs(tmp_path / "one", make_config())
    config = make_config(
        seed=1,
        **{"train.num_epochs": 9, "optimizer.learning_rate": 0.1, "optimizer.schedule": "constant"},
    )
    fold = {"mean": MEAN + 1, "deviation": DEVIATION + 1, "part": make_part(seed=1)}
    assert programs(tmp_path / "other", config, **fold) == one


@pytest.mark.parametrize(("step", "round_that_moves"), [(1, 0), (2, 1)])
def test_each_step_takes_its_own_learning_rate(tmp_path, step, round_that_moves):
    run = Run(tmp_path, make_config(**{"optimizer.name": "sgd"}))
    run.trainer.journal.close()
    rates = np.zeros_like(run.recipe.given.learning_rates)
    rates[step] = 0.1
    given = run.recipe.given._replace(learning_rates=rates)
    run.trainer.recipe = dataclasses.replace(run.recipe, given=given)
    program, stream = run.trainer._feed(0)
    state, moved = replicate(run.initial, run.over), []
    for _, inputs in itertools.islice(stream, 2):  # rounds of two steps
        before = unreplicate(state.params)
        state, _ = program(state, inputs)
        now = unreplicate(state.params)
        moved.append(not all(map(np.array_equal, *map(jax.tree.leaves, (before, now)))))
    assert moved == [round_that_moves == 0, round_that_moves == 1]


def test_it_learns_what_can_be_learnt(tmp_path):
    run = Run(tmp_path, make_config(**{"train.num_epochs": 10, "protocol": "paper"}), validate=True)
    state = run.fit()
    assert int(state.step) == 40
    lines = run.lines()
    assert [line["epoch"] for line in lines] == list(range(1, 11))
    assert lines[-1]["train/loss"] < 0.3 * lines[0]["train/loss"]
    assert lines[-1]["train/accuracy"] > 0.95
    assert lines[-1]["validation/accuracy"] > 0.9
    assert max(line["learning_rate"] for line in lines) == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize("num_devices", [2, 8])
def test_any_number_of_devices_gives_the_same_parameters(tmp_path, num_devices):
    # SGD, as Adam divides rounding noise by its own size. BatchNorm over devices is in the trunk.
    config = make_config(**{"optimizer.name": "sgd", "optimizer.learning_rate": 0.01})
    one = Run(tmp_path / "one", config).fit()
    many = Run(tmp_path / "many", config, num_devices=num_devices).fit()
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), one.params, Run(tmp_path / "new", config).initial.params
    )
    assert min(jax.tree.leaves(moved)) > 0 or "bias" in str(moved)
    assert max(jax.tree.leaves(moved)) > 1e-3


@pytest.mark.parametrize("num_devices", [1, 2])
def test_a_resident_part_gives_the_losses_of_the_pipeline(tmp_path, num_devices):
    config = make_config(**{"optimizer.name": "sgd", "optimizer.learning_rate": 0.01})
    streamed = Run(tmp_path / "streamed", config, num_devices=num_devices)
    expected = streamed.fit()
    config.data.resident = "on"
    resident = Run(tmp_path / "resident", config, num_devices=num_devices)
    got = resident.fit()
    for a, b in zip(resident.lines(), streamed.lines(), strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-4)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("resident", "num_recordings", "every", "every_before", "stop_at"),
    [
        ("off", 16, 2, 2, 6),  # in the middle of the second epoch of four steps
        ("on", 16, 2, 2, 6),
        ("off", 24, 50, 50, 8),  # rounds of four, cut short by the ends of epochs of six steps
        ("off", 24, 50, 5, 5),  # goes on in rounds of other lengths
    ],
)
def test_a_stopped_run_goes_on_to_the_same_state_to_the_bit(
    tmp_path, resident, num_recordings, every, every_before, stop_at
):
    config = make_config(
        **{"model.dropout": 0.5, "augment.mixup_alpha": 0.3, "augment.num_mel_masks": 1,
           "data.resident": resident, "log_every_steps": every}
    )  # fmt: skip
    recordings = make_part(num_recordings)
    whole = Run(tmp_path / "whole", config, recordings)
    expected = whole.fit()
    # Ctrl-C.
    before = config.copy_and_resolve_references()
    before.log_every_steps = every_before
    part = Run(tmp_path / "part", before, recordings)
    tick = part.trainer.journal.tick

    def signal(step):
        tick(step)
        if step == stop_at:
            part.stop.signal = 15

    part.trainer.journal.tick = signal
    with pytest.raises(Stopped, match=f"at step {stop_at} of ") as stopped:
        part.fit()
    assert stopped.value.code == 143
    again = Run(tmp_path / "part", config, recordings)
    assert int(again.state.step) == stop_at
    assert_trees_equal(again.fit(), expected)
    assert [{**line, "seconds": 0} for line in again.lines()] == [
        {**line, "seconds": 0} for line in whole.lines()
    ]


def test_a_loss_that_is_no_number_stops_with_step_rate_and_checkpoint(tmp_path):
    part = make_part()
    run = Run(tmp_path, make_config(), part)
    broken = part.log_mel.copy()
    save = run.checkpoints.save

    def save_then_break(step, state, numbers):
        save(step, state, numbers)
        run.checkpoints.wait()
        broken[:] = np.nan

    run.trainer.plan = run.trainer.plan.__class__(
        **{**vars(run.trainer.plan), "fragments": Fragments(broken, part.rows, part.labels, 2)}
    )
    run.checkpoints.save = save_then_break
    with pytest.raises(
        UserError, match=r"loss is nan at step \d+, learning rate 0\.0\d+.*checkpoints/[48]\."
    ):
        run.fit()


def test_the_step_named_is_the_first_of_its_round_whose_loss_is_no_number(tmp_path):
    part = make_part()
    order = batches.order(len(part), batch_size=8, seed=0, first_step=0, last_step=4)
    recording, _, fragment = np.unravel_index(order[1][0], part.shape)
    part.log_mel[recording, :, :, 33 * fragment : 33 * (fragment + 1)] = np.nan
    run = Run(tmp_path, make_config(log_every_steps=4), part)
    with pytest.raises(UserError, match=r"loss is nan at step 2, "):
        run.fit()


@pytest.mark.parametrize("resident", ["off", "on"])
def test_nothing_is_compiled_after_the_first_step_and_the_first_epochs_end(tmp_path, resident):
    """A second compilation, as states came from elsewhere than the step, would cost minutes."""
    compilations, at_step = [], {}

    def count(event, duration, **names):
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(names)

    # With log_every_steps at 3, rounds of 3 and of 1 steps.
    config = make_config(**{"data.resident": resident, "log_every_steps": 3})
    run = Run(tmp_path, config, num_devices=2, validate=True)
    run.trainer.journal.tick = lambda step: at_step.update({step: len(compilations)})
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        run.fit()
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    first = min(at_step)
    assert at_step[first] >= 1
    assert at_step[first] == at_step[4]
    assert at_step[6] == at_step[12] > at_step[4]  # the evaluation, once


def test_frozen_blocks_stay_to_the_bit_with_their_statistics(tmp_path):
    config = make_config(**{"init.freeze": "trunk", "optimizer.weight_decay": 0.1})
    run = Run(tmp_path, config)
    state = run.fit()
    assert_trees_equal(state.params["trunk"], run.initial.params["trunk"])
    assert_trees_equal(state.batch_stats, run.initial.batch_stats)
    assert np.any(
        state.params["head"]["dense"]["kernel"] != run.initial.params["head"]["dense"]["kernel"]
    )


def test_bf16_computes_in_bf16_keeps_all_in_f32_and_learns_as_f32_does(tmp_path):
    def fit(**overrides):
        run = Run(tmp_path / str(overrides), make_config(**{"train.num_epochs": 6, **overrides}))
        return run.fit(), run.lines()[-1]

    by_seed = [fit(seed=seed)[1] for seed in range(2)]
    state, last = fit(**{"model.compute_dtype": "bfloat16"})
    for number in ("train/loss", "train/accuracy"):
        in_f32 = [line[number] for line in by_seed]
        # Noise is what another seed makes of it.
        assert abs(last[number] - in_f32[0]) <= np.ptp(in_f32)
    kept = (state.params, state.batch_stats, state.opt_state, state.metrics)
    kinds = {x.dtype for x in jax.tree.leaves(kept)}
    assert kinds == {np.dtype("float32"), np.dtype("int32")}  # and steps
    config = make_config(**{"model.compute_dtype": "bfloat16"})
    networks = builders.build_networks(config, num_scenes=3, input_shape=(32, 33))
    logits, kept = networks.evaluation.apply(
        networks.variables, jnp.ones((2, 32, 33, 1)), train=False,
        capture_intermediates=True, mutable=["intermediates"],
    )  # fmt: skip
    assert logits.dtype == jnp.float32
    assert np.dtype(jnp.bfloat16) in {
        x.dtype for x in jax.tree.leaves(kept["intermediates"]["trunk"])
    }


def test_normalisation_takes_mean_and_deviation_of_each_band():
    log_mel = jnp.ones((1, 32, 4, 1))
    np.testing.assert_allclose(loop.normalise(log_mel, MEAN, DEVIATION), 0.25)
