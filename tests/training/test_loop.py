import dataclasses
import itertools
import threading

import jax
import numpy as np
import pytest
from tiny_set import make_part
from tiny_training import ALL_AUGMENTATION, DEVIATION, MEAN, Network, Run

from ascjax.compute.devices import replicate, unreplicate
from ascjax.data import batches
from ascjax.errors import UserError
from ascjax.signals import Stopped
from ascjax.training import loop
from ascjax.training.journal import read_history
from ascjax.training.step import variables


def assert_trees_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_another_fold_seed_length_or_learning_rate_needs_no_other_program(tmp_path):
    def programs(path, **options):
        run = Run(path, augmentation=ALL_AUGMENTATION, **options)
        run.log.close()
        program, stream = run.trainer._rounds(0)
        state, (_, round_) = replicate(run.initial, run.trainer.devices), next(stream)
        evaluation = {**round_, "batches": round_["batches"]["log_mel"]}
        evaluation["inputs"] = run.evaluator._inputs
        return [
            program.lower(state, round_).as_text(),
            run.evaluator._round.lower(variables(state), evaluation).as_text(),
        ]

    one = programs(tmp_path / "one")
    other = {
        "seed": 1, "num_epochs": 9, "learning_rate": 0.1, "rates": "cosine", "mean": MEAN + 1,
        "deviation": DEVIATION + 1, "fragments": make_part(seed=1),
    }  # fmt: skip
    assert programs(tmp_path / "other", **other) == one


@pytest.mark.parametrize(("step", "round_that_moves"), [(1, 0), (2, 1)])
def test_each_step_takes_its_own_learning_rate(tmp_path, step, round_that_moves):
    run = Run(tmp_path)
    run.log.close()
    rates = np.zeros_like(run.trainer.inputs.learning_rates)
    rates[step] = 0.1
    run.trainer.inputs = run.trainer.inputs._replace(learning_rates=rates)
    program, stream = run.trainer._rounds(0)
    state, moved = replicate(run.initial, run.trainer.devices), []
    for _, round_ in itertools.islice(stream, 2):  # rounds of two steps
        before = unreplicate(state.params)
        state, _ = program(state, round_)
        now = unreplicate(state.params)
        moved.append(not all(map(np.array_equal, *map(jax.tree.leaves, (before, now)))))
    assert moved == [round_that_moves == 0, round_that_moves == 1]


def test_a_run_learns_and_logs_every_epoch(tmp_path):
    run = Run(tmp_path, num_epochs=10, validate=True, optimizer_name="adamw", learning_rate=0.01)
    state = run.fit()
    assert int(state.step) == 40
    lines = run.lines()
    assert [line["epoch"] for line in lines] == list(range(1, 11))
    assert lines[-1]["train/loss"] < 0.3 * lines[0]["train/loss"]
    assert lines[-1]["train/accuracy"] > 0.95
    assert lines[-1]["validation/accuracy"] > 0.9
    assert max(line["learning_rate"] for line in lines) == pytest.approx(0.01)


@pytest.mark.parametrize(
    "num_devices",  # of two examples each, four, and one
    [4, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 8))],
)
def test_any_number_of_devices_gives_the_same_parameters_with_dropout_and_augmentation(
    tmp_path, num_devices
):
    # SGD, as Adam divides rounding noise by its own size. BatchNorm over devices is in the trunk.
    options = {"dropout": 0.5, "augmentation": ALL_AUGMENTATION}
    one = Run(tmp_path / "one", **options)
    expected = one.fit()
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), expected.params, one.initial.params)
    assert min(jax.tree.leaves(moved)) > 1e-3
    many = Run(tmp_path / "many", num_devices=num_devices, **options)
    state = many.fit()
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)
    for a, b in zip(many.lines(), one.lines(), strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-5)


def test_the_same_seed_gives_the_same_bits(tmp_path):
    options = {"dropout": 0.5, "augmentation": ALL_AUGMENTATION}
    first, again = (Run(tmp_path / name, **options) for name in ("first", "again"))
    assert_trees_equal(first.fit(), again.fit())
    assert first.lines(timed=False) == again.lines(timed=False)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_resident_examples_give_the_losses_of_the_pipeline(tmp_path, num_devices):
    streamed = Run(tmp_path / "streamed", num_devices=num_devices)
    expected = streamed.fit()
    resident = Run(tmp_path / "resident", num_devices=num_devices, resident="on")
    state = resident.fit()
    for a, b in zip(resident.lines(), streamed.lines(), strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=1e-5)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("resident", "num_recordings", "log_every", "log_every_before", "stop_at"),
    [
        ("off", 16, 2, 2, 6),  # in the middle of the second epoch of four steps
        ("on", 16, 2, 2, 6),
        ("off", 24, 50, 50, 8),  # rounds of four, cut short by the ends of epochs of six steps
        ("off", 24, 50, 5, 5),  # resumed in rounds of other lengths
    ],
)
def test_a_stopped_run_resumes_to_the_same_state_to_the_bit(
    tmp_path, resident, num_recordings, log_every, log_every_before, stop_at
):
    options = {
        "dropout": 0.5, "augmentation": ALL_AUGMENTATION, "resident": resident,
        "fragments": make_part(num_recordings),
    }  # fmt: skip
    whole = Run(tmp_path / "whole", log_every_steps=log_every, **options)
    expected = whole.fit()
    # Ctrl-C.
    stopped = Run(tmp_path / "stopped", log_every_steps=log_every_before, **options)
    progress = stopped.log.progress

    def signal(step):
        progress(step)
        if step == stop_at:
            stopped.stop.signal = 15

    stopped.log.progress = signal
    with pytest.raises(Stopped, match=f"at step {stop_at} of ") as caught:
        stopped.fit()
    assert caught.value.code == 143
    resumed = Run(tmp_path / "stopped", log_every_steps=log_every, **options)
    assert int(resumed.state.step) == stop_at
    assert_trees_equal(resumed.fit(), expected)
    assert resumed.lines(timed=False) == whole.lines(timed=False)


def test_a_loss_that_is_not_finite_stops_with_step_rate_and_checkpoint(tmp_path):
    run = Run(tmp_path)
    broken = run.fragments.log_mel.copy()
    save = run.checkpoints.save

    def save_then_break(step, state):
        save(step, state)
        broken[:] = np.nan

    run.trainer.fragments = dataclasses.replace(run.fragments, log_mel=broken)
    run.checkpoints.save = save_then_break
    with pytest.raises(
        UserError, match=r"loss is nan at step \d+, learning rate 0\.05; .*checkpoints/[48]\."
    ):
        run.fit()


def test_the_step_named_is_the_first_of_its_round_whose_loss_is_not_finite(tmp_path):
    fragments = make_part()
    order = batches.order(len(fragments), batch_size=8, seed=0, first_step=0, last_step=4)
    recording, _, fragment = np.unravel_index(order[1][0], fragments.shape)
    fragments.log_mel[recording, :, :, 33 * fragment : 33 * (fragment + 1)] = np.nan
    run = Run(tmp_path, fragments=fragments, log_every_steps=4)
    with pytest.raises(UserError, match=r"loss is nan at step 2, .* checkpoint: none yet"):
        run.fit()


@pytest.mark.parametrize("validate", [True, False])
def test_a_parameter_that_turns_nan_at_an_epochs_last_step_is_named(tmp_path, validate):
    run = Run(tmp_path, validate=validate)
    rates = run.trainer.inputs.learning_rates.copy()
    rates[7] = np.nan
    run.trainer.inputs = run.trainer.inputs._replace(learning_rates=rates)
    with pytest.raises(UserError, match=r"params/\S+ is not finite at step 8, ") as caught:
        run.fit()
    assert f"last good checkpoint: {run.checkpoints.path}/4. " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert run.checkpoints.restore(4, run.initial).step == 4


def test_finite_losses_with_posteriors_that_are_not_stop_at_validation(tmp_path):
    def network(**options):
        return Network(**options, nan_in_evaluation=True)

    run = Run(tmp_path, network=network, validate=True)
    message = r"validation: expected finite posteriors, .* 16 of 16 recordings at step 4, .*none"
    with pytest.raises(UserError, match=message):
        run.fit()


def test_nothing_that_is_not_finite_is_saved_on_a_stop(tmp_path):
    run = Run(tmp_path)
    rates = run.trainer.inputs.learning_rates.copy()
    rates[5] = np.nan
    run.trainer.inputs = run.trainer.inputs._replace(learning_rates=rates)
    run.log.progress = lambda step: setattr(run.stop, "signal", 2 if step == 6 else None)
    with pytest.raises(UserError, match=r"is not finite at step 6, .*/4\."):
        run.fit()
    assert run.checkpoints.latest() == 4


@pytest.mark.parametrize("resident", ["off", "on"])
def test_nothing_is_compiled_after_the_first_step_and_the_first_epochs_end(tmp_path, resident):
    """A second compilation, as states came from elsewhere than the step, would cost minutes."""
    compilations, at_step = [], {}

    def count(event, duration, **names):
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(names)

    # With log_every_steps at 3, rounds of 3 and of 1 steps.
    run = Run(tmp_path, num_devices=2, validate=True, resident=resident, log_every_steps=3)
    run.log.progress = lambda step: at_step.update({step: len(compilations)})
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        run.fit()
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    first = min(at_step)
    assert at_step[first] >= 1
    assert at_step[first] == at_step[4]
    assert at_step[6] == at_step[12] > at_step[4]  # the evaluation, once


@pytest.mark.parametrize(
    ("what", "call", "said", "step"),
    [
        ("program", 1, "at step 0 of 12, before anything was learnt", 0),  # it compiles
        ("program", 4, "at step 6 of 12, saved", 6),
        ("validate", 1, "at step 4 of 12, saved", 4),
    ],
)
def test_a_stop_is_heard_while_devices_are_busy(tmp_path, monkeypatch, what, call, said, step):
    whole = Run(tmp_path / "whole", validate=True)
    expected = whole.fit()
    stopped = Run(tmp_path / "stopped", validate=True)
    calls, release = [], threading.Event()

    def busy(function):
        def counted(*arguments):
            calls.append(what)
            if len(calls) == call:
                stopped.stop.signal = 15
                release.wait()
            return function(*arguments)

        return counted

    with monkeypatch.context() as patched:
        patched.setattr(loop, "PATIENCE_S", 0.2)
        program = loop.rounds.program
        if what == "program":
            patched.setattr(loop.rounds, "program", lambda *a: busy(program(*a)))
        else:
            stopped.trainer.validate = busy(stopped.validate)
        with pytest.raises(Stopped, match=said) as caught:
            stopped.fit()
        release.set()
    assert caught.value.code == 143
    stopped.checkpoints.close()
    resumed = Run(tmp_path / "stopped", validate=True)
    assert int(resumed.state.step) == step
    assert_trees_equal(resumed.fit(), expected)
    assert resumed.lines(timed=False) == whole.lines(timed=False)
    assert len(read_history(tmp_path / "stopped" / "metrics.jsonl")) == len(whole.lines())
    assert resumed.checkpoints.best() == whole.checkpoints.best()
