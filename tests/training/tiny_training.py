"""A network that compiles in a second, and a training of it in a folder."""

import json
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from tiny_set import make_part

from ascjax.compute.devices import AXIS, local_devices
from ascjax.models import layers
from ascjax.signals import StopRequest
from ascjax.training import loop, optimizer
from ascjax.training.checkpoints import Checkpoints
from ascjax.training.evaluator import Evaluator, validation_numbers
from ascjax.training.journal import TrainingLog
from ascjax.training.step import StepConfig, StepInputs, initial_state, step_key

MEAN, DEVIATION = np.full(32, 0.5, np.float32), np.full(32, 2.0, np.float32)
NUM_SCENES = 3
NO_AUGMENTATION = {
    "max_shift": 0.0, "mixup_alpha": 0.0, "num_mel_masks": 0, "max_mel_mask": 8,
    "num_frame_masks": 0, "max_frame_mask": 8, "mix_style_alpha": 0.0, "mix_style_share": 0.4,
}  # fmt: skip
ALL_AUGMENTATION = {
    "max_shift": 0.2, "mixup_alpha": 0.4, "num_mel_masks": 1, "max_mel_mask": 8,
    "num_frame_masks": 1, "max_frame_mask": 8, "mix_style_alpha": 0.4, "mix_style_share": 0.7,
}  # fmt: skip


class Trunk(nn.Module):
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train):
        x = layers.conv(4, window=3, stride=2, padding=1, use_bias=False, name="conv")(x)
        return jnp.tanh(layers.BatchNorm(self.axis_name, name="bn")(x, train))  # ReLU hides NaN


class Network(nn.Module):
    """A convolution with BatchNorm, a mean over frames, dropout and a dense layer."""

    dropout: float = 0.0
    axis_name: str | None = None
    nan_in_evaluation: bool = False

    @nn.compact
    def __call__(self, x, train):
        x = Trunk(self.axis_name, name="trunk")(x, train).mean(2).reshape(len(x), -1)
        x = layers.Dropout(self.dropout, self.axis_name)(x, train)
        logits = layers.dense(NUM_SCENES, x.shape[-1], name="head")(x)
        return logits * jnp.nan if self.nan_in_evaluation and not train else logits


@cache
def initial_variables(network, seed, num_frames):
    """What a network begins with, compiled once for all runs that begin so."""
    init = jax.jit(partial(network().init, train=False))
    return init(jax.random.key(seed), jnp.zeros((1, 32, num_frames, 1)))


def make_schedule(fragments, **options):
    settings = {
        "batch_size": 8, "num_epochs": 3, "log_every_steps": 2, "checkpoint_every_epochs": 1,
        "seed": 0,
    }  # fmt: skip
    return loop.Schedule(num_examples=len(fragments), **settings | options)


class Run:
    """A trainer on fragments, in a folder; ``options`` are those of a schedule."""

    def __init__(
        self, path, *, fragments=None, num_devices=1, validate=False, network=Network,
        dropout=0.0, augmentation=NO_AUGMENTATION, optimizer_name="sgd", learning_rate=0.05,
        rates="constant", frozen=False, mean=MEAN, deviation=DEVIATION, **options,
    ):  # fmt: skip
        path.mkdir(exist_ok=True)
        self.path = path
        self.fragments = make_part() if fragments is None else fragments
        devices = local_devices(num_devices)
        schedule = make_schedule(self.fragments, **options)
        evaluation = network(dropout=dropout)
        variables = initial_variables(network, schedule.seed, self.fragments.num_frames)
        is_frozen = jax.tree_util.tree_map_with_path(
            lambda path, _: frozen and path[0].key == "trunk", variables["params"]
        )
        config = StepConfig(
            model=network(dropout=dropout, axis_name=AXIS),
            optimizer=optimizer.make(
                optimizer_name, variables["params"], is_frozen, weight_decay=0.01, momentum=0.9,
                clip_norm=1.0, trunk_learning_rate_factor=1.0,
            ),
            num_scenes=NUM_SCENES,
            label_smoothing=0.0,
            augmentation=augmentation,
        )  # fmt: skip
        learning_rates = optimizer.learning_rates(
            rates, learning_rate=learning_rate, num_steps=schedule.num_steps, warmup_steps=0
        )
        inputs = StepInputs(mean, deviation, learning_rates, step_key(schedule.seed))
        self.initial = initial_state(config, variables)
        self.evaluator = Evaluator(evaluation, mean, deviation, devices, 8)
        self.checkpoints = Checkpoints(path / "checkpoints", keep=2)
        _, self.state = self.checkpoints.resume(self.initial) or (0, self.initial)
        self.stop = StopRequest()
        self.log = TrainingLog(
            path, step=int(self.state.step), num_steps=schedule.num_steps,
            steps_per_epoch=schedule.steps_per_epoch, batch_size=schedule.batch_size,
        )  # fmt: skip
        self.trainer = loop.Trainer(
            config, inputs, schedule, self.fragments, devices,
            self.validate if validate else None, self.checkpoints, self.log, self.stop,
        )  # fmt: skip

    def validate(self, variables):
        posteriors = self.evaluator(variables, self.fragments)
        methods = {"fragments": "mean", "channels": "mean"}
        return validation_numbers(posteriors, self.fragments.labels, methods)

    def fit(self):
        return self.trainer.fit(self.state)

    def lines(self, *, timed=True):
        lines = (self.path / "metrics.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return entries if timed else [{**entry, "seconds": 0} for entry in entries]
