"""Cost of a computation in floating-point operations, as XLA counts them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ascjax.compute import host


def flops(fn: Callable[..., Any], *args: Any) -> float:
    """Returns the floating-point operations of ``fn(*args)``: an addition is one, a product one.

    Counted before XLA optimises; nothing is run. Every platform counts what a GPU would be given:
    the CPU's convolutions (``compute.convolution``) take fewer operations, and loop over parts of a
    batch, of which XLA counts one.

    Args:
      fn: a function that JAX can trace.
      args: its arguments; ``jax.ShapeDtypeStruct`` will do for arrays.
    """
    # Only the CPU's client counts a program that isn't compiled, also one lowered for a GPU.
    with jax.default_device(host.cpu()):
        lowered = jax.jit(fn).trace(*args).lower(lowering_platforms=("cuda",))
        analysis: Any = lowered.cost_analysis() or lowered.compile().cost_analysis()
    return float(analysis["flops"])


def of_example(model: nn.Module, input_shape: tuple[int, int]) -> float:
    """Returns the operations of ``model`` on one example [mel, frame]."""
    return flops(*evaluation(model, 1, input_shape))


def evaluation(model: nn.Module, batch: int, input_shape: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Returns a model's evaluation step and the shapes of its arguments, variables and examples."""
    examples = jax.ShapeDtypeStruct((batch, *input_shape, 1), jnp.float32)
    init = partial(model.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), examples)
    return partial(model.apply, train=False), variables, examples
