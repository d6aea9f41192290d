"""What a network costs to compute, in floating-point operations as XLA counts them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def flops(fn: Callable[..., Any], *args: Any) -> float:
    """Returns the floating-point operations of ``fn(*args)``: an addition is one, a product one.

    Counted before XLA optimises, so it is the same on every platform; nothing is compiled or run.

    Args:
      fn: a function that JAX can trace.
      args: its arguments; ``jax.ShapeDtypeStruct`` will do for arrays.
    """
    analysis: Any = jax.jit(fn).lower(*args).cost_analysis()
    return float(analysis["flops"])


def of_fragment(model: nn.Module, input_shape: tuple[int, int]) -> float:
    """Returns the operations with which ``model`` decides on one fragment [mel, frame]."""
    return flops(*evaluation(model, 1, input_shape))


def evaluation(model: nn.Module, batch: int, input_shape: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Returns a model's evaluation step and the shapes of its arguments: variables and inputs."""
    fragments = jax.ShapeDtypeStruct((batch, *input_shape, 1), jnp.float32)
    init = partial(model.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), fragments)
    return partial(model.apply, train=False), variables, fragments
