"""The network and its training, as a config describes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from ascjax import models
from ascjax.compute import host
from ascjax.compute.devices import AXIS
from ascjax.models import weights
from ascjax.setup.keys import keyed
from ascjax.training import optimizer
from ascjax.training.loop import Schedule
from ascjax.training.step import Distillation, StepConfig, StepInputs, step_key


@dataclass(frozen=True)
class Networks:
    """The network for training (BatchNorm over devices) and for evaluation, with its variables."""

    training: nn.Module
    evaluation: nn.Module
    variables: Any


def model_settings(config: ConfigDict) -> dict[str, Any]:
    """Returns the arguments of `models.create_model` that a config's ``model`` and ``init`` set."""
    settings = config.model.to_dict()
    random = config.init.weights == "random"
    planes = 1 if random else weights.planes(config.init.input_channel)
    return {**settings, "planes": planes}


def evaluation_network(config: ConfigDict, num_scenes: int) -> nn.Module:
    """Returns the network as it is evaluated; the file of its weights isn't needed."""
    return models.create_model(
        num_scenes=num_scenes, freeze=config.init.freeze, **model_settings(config)
    )


def networks(
    config: ConfigDict, file: Path | None, num_scenes: int, input_shape: tuple[int, int]
) -> Networks:
    """Builds the network for inputs [mel, frame] and its initial variables.

    Args:
      config: the whole.
      file: of converted weights, or None for random ones.
      num_scenes: K.
      input_shape: [mel, frame].

    Raises:
      UserError: an unknown name, an input too small for the trunk, or weights that don't fit.
    """
    evaluation = evaluation_network(config, num_scenes)
    # It runs once: what LLVM's costlier passes would save is less than they take.
    initial = jax.jit(
        evaluation.init,
        static_argnames="train",
        compiler_options={"xla_backend_optimization_level": 1},
    )
    # On the host: they are the same whatever device trains.
    with jax.default_device(host.cpu()):
        variables = initial(
            jax.random.key(config.seed), jnp.zeros((1, *input_shape, 1)), train=False
        )
    if file:
        with keyed("init.weights"):
            variables = weights.load_weights(
                variables,
                file,
                trunk=config.model.trunk,
                input_channel=config.init.input_channel,
            )
    training = models.create_model(
        num_scenes=num_scenes,
        freeze=config.init.freeze,
        axis_name=AXIS,
        remat=config.train.remat,
        **model_settings(config),
    )
    return Networks(training, evaluation, variables)


def schedule(config: ConfigDict, num_examples: int, last_epoch: int | None = None) -> Schedule:
    """Returns how long to train, up to ``last_epoch`` or all, and how often to log and save."""
    return Schedule(
        batch_size=config.train.batch_size,
        num_epochs=config.train.num_epochs,
        num_examples=num_examples,
        log_every_steps=config.log_every_steps,
        checkpoint_every_epochs=config.checkpoint.every_epochs,
        seed=config.seed,
        resident=config.data.resident,
        last_epoch=last_epoch,
    )


def step(
    config: ConfigDict,
    networks: Networks,
    plan: Schedule,
    *,
    num_scenes: int,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> tuple[StepConfig, StepInputs]:
    """Returns the training step's config and its per-run inputs."""
    settings = config.optimizer.to_dict()
    learning_rates = optimizer.learning_rates(
        settings.pop("schedule"),
        learning_rate=settings.pop("learning_rate"),
        num_steps=plan.num_epochs * plan.steps_per_epoch,
        warmup_steps=round(settings.pop("warmup_epochs") * plan.steps_per_epoch),
    )
    params = networks.variables["params"]
    transformation = optimizer.make(
        params=params,
        frozen=models.frozen_mask(params, config.model.trunk, config.init.freeze),
        trunk_learning_rate_factor=config.init.trunk_learning_rate_factor,
        **settings,
    )
    step_config = StepConfig(
        model=networks.training,
        optimizer=transformation,
        num_scenes=num_scenes,
        label_smoothing=config.train.label_smoothing,
        augmentation=config.augment.to_dict(),
        distillation=_distillation(config),
    )
    return step_config, StepInputs(mean, deviation, learning_rates, step_key(config.seed))


def _distillation(config: ConfigDict) -> Distillation | None:
    settings = config.train
    distillation = Distillation(settings.teacher_weight, settings.teacher_temperature)
    return distillation if settings.teacher else None
