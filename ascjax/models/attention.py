"""Attention over fragments: their fusion learned with the network (the paper's future work)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ascjax.fragments import layout


def cut(
    x: Float[Array, "batch mel frame plane"], count: int, overlap: float
) -> Float[Array, "pieces mel width plane"]:
    """Cuts each example into its fragments, which come one after the other."""
    width, starts = layout(x.shape[2], count, overlap)
    pieces = jnp.stack([x[:, :, start : start + width] for start in starts], axis=1)
    return pieces.reshape(-1, *pieces.shape[2:])


class FragmentAttention(nn.Module):
    """Fuses the posteriors of an example's fragments by weights that depend on what is in them.

    Fragment n of N has the weight softmax_n(v · tanh(V f_n)), f_n being the mean of its feature map
    (attention pooling of Ilse et al. 2018, arXiv:1802.04712, equation 8, on posteriors). It starts
    with equal weights, which is the paper's mean over fragments.

    Attributes:
      make_head: a function of ``name`` that makes the head of every fragment.
      count: N, the fragments of each example.
      width: rows of V.
    """

    make_head: Callable[..., nn.Module]
    count: int
    width: int = 128

    @nn.compact
    def __call__(
        self, features: Float[Array, "pieces mel frame channel"], train: bool
    ) -> Float[Array, "batch scene"]:
        """Returns the logarithms of the fused posteriors, which serve as logits."""
        logits = self.make_head(name="each")(features, train)
        hidden = jnp.tanh(nn.Dense(self.width, name="hidden")(features.mean((1, 2))))
        weights = nn.Dense(1, kernel_init=nn.initializers.zeros, name="weight")(hidden)
        log_weights = jax.nn.log_softmax(weights.reshape(-1, self.count, 1), axis=1)
        log_posteriors = jax.nn.log_softmax(logits).reshape(-1, self.count, logits.shape[-1])
        return jax.nn.logsumexp(log_weights + log_posteriors, axis=1)
