"""The optimiser of fine-tuning: learning rates, clipping, decay, frozen and slower parameters."""

from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Float

from ascjax.compute import host
from ascjax.errors import UserError, choose

# The array of learning rates is as long as a multiple of this, so that most runs that differ in
# their length share a compiled step.
_LENGTH_MULTIPLE = 4096
SCHEDULES = ("cosine", "one_cycle", "constant")
OPTIMIZERS = ("adamw", "adam", "sgd")


def learning_rates(
    name: str, *, learning_rate: float, num_steps: int, warmup_steps: int
) -> Float[np.ndarray, " step"]:
    """Returns the learning rate of each step, float32, continued to a multiple of 4,096 steps.

    Args:
      name: ``"cosine"`` to zero, ``"constant"``, both after a linear warm-up, or
        ``"one_cycle"`` (up for 30 % of the steps and down, with no other warm-up).
      learning_rate: the highest value.
      num_steps: steps of the whole run.
      warmup_steps: steps of the warm-up, at most ``num_steps``.

    Raises:
      UserError: no such schedule, or the warm-up is longer than the run.
    """
    if warmup_steps > num_steps:
        raise UserError(
            f"the warm-up takes {warmup_steps} steps, more than the run's {num_steps}; shorten it"
        )
    decay_steps = max(num_steps - warmup_steps, 1)
    after = choose(
        "learning rate schedule",
        name,
        {
            "cosine": optax.cosine_decay_schedule(learning_rate, decay_steps),
            "one_cycle": optax.cosine_onecycle_schedule(num_steps, learning_rate),
            "constant": optax.constant_schedule(learning_rate),
        },
    )
    if name != "one_cycle" and warmup_steps > 0:
        # From one step's share, not from zero: the first step would teach nothing.
        warmup = optax.linear_schedule(learning_rate / warmup_steps, learning_rate, warmup_steps)
        after = optax.join_schedules([warmup, after], [warmup_steps])
    steps = np.arange(-(-num_steps // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE, dtype=np.int32)
    with jax.default_device(host.cpu()):
        return np.asarray(jax.jit(jax.vmap(after))(steps))


def make(
    name: str,
    params: Any,
    frozen: Any,
    *,
    weight_decay: float,
    momentum: float,
    clip_norm: float,
    trunk_learning_rate_factor: float,
) -> optax.GradientTransformation:
    """Returns the optimiser for ``params``, a tree with branches ``trunk`` and ``head``.

    Its updates are for a learning rate of 1: multiply them by the step's.

    Args:
      name: ``"adamw"``, ``"adam"`` or ``"sgd"`` (Nesterov momentum; decay added to the gradient).
      params: parameters, or their shapes.
      frozen: tree of bool like ``params``; True is neither updated nor decayed, nor does its
        gradient count in the norm.
      weight_decay: on matrices and kernels only.
      momentum: of ``"sgd"`` alone.
      clip_norm: global norm that gradients are clipped to; 0 for none.
      trunk_learning_rate_factor: the trunk's learning rate over the head's.

    Raises:
      UserError: no such optimiser.
    """

    def decayed(tree: Any) -> Any:
        return jax.tree.map(lambda x: x.ndim > 1, tree)

    def sgd(rate: float) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(weight_decay, decayed)
        return optax.chain(decay, optax.sgd(rate, momentum, nesterov=True))

    base = choose(
        "optimizer",
        name,
        {
            "adamw": lambda rate: optax.adamw(rate, weight_decay=weight_decay, mask=decayed),
            "adam": lambda rate: optax.adam(rate),
            "sgd": sgd,
        },
    )

    def label(path: Any, is_frozen: bool) -> str:
        return "frozen" if is_frozen else path[0].key

    clip = optax.clip_by_global_norm(clip_norm) if clip_norm > 0 else optax.identity()
    parts = {
        "trunk": base(trunk_learning_rate_factor),
        "head": base(1.0),
        "frozen": optax.set_to_zero(),
    }
    return optax.chain(
        optax.masked(optax.set_to_zero(), frozen),
        clip,
        optax.partition(parts, jax.tree_util.tree_map_with_path(label, frozen)),
    )
