import jax
import pytest
import tiny_set

from ascjax.runs import experiment
from ascjax.training.journal import TrainingLog


@pytest.mark.parametrize("resident", ["off", "on"])
def test_after_the_first_epoch_a_run_compiles_nothing(tmp_path, monkeypatch, resident):
    compiled, at_epoch = [], []

    def count(event, duration, **names):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(names)

    write_down = TrainingLog.epoch

    def epoch(journal, *numbers):
        at_epoch.append(len(compiled))
        write_down(journal, *numbers)

    monkeypatch.setattr(TrainingLog, "epoch", epoch)
    root = tiny_set.write_set(tmp_path / "set", per_scene=20)
    config = tiny_set.config(
        tmp_path, root, protocol="validated", num_devices=2,
        **{"data.resident": resident, "train.num_epochs": 3, "log_every_steps": 3},
    )  # fmt: skip
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        experiment.train_and_evaluate(config, tmp_path / "run")
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert at_epoch[0] >= 3
    assert at_epoch[1] <= at_epoch[0] + 1  # what sets the epoch's sums to zero
    assert at_epoch[1] == at_epoch[2]
    # The copy of the best epoch's variables; the test itself is the validation's program.
    assert len(compiled) <= at_epoch[2] + 1
