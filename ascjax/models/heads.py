"""Heads: from the trunk's feature map to logits (paper, section 3)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ascjax.models import baseline, layers


class Gap(nn.Module):
    """Global average pooling: mean over F' and T', dense to the scenes.

    Attributes:
      num_scenes: K.
      dropout: rate before the dense layer.
      head_width: unused here; every head takes the same attributes.
      axis_name: mapped axis over which a batch is spread, or None.
    """

    num_scenes: int
    dropout: float = 0.0
    head_width: int = 256
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch mel frame channel"], train: bool
    ) -> Float[Array, "batch {self.num_scenes}"]:
        """Returns the logits, in float32."""
        pooled = _at_least_float32(features).mean((1, 2))
        pooled = layers.Dropout(self.dropout, self.axis_name)(pooled, train)
        return layers.dense(self.num_scenes, pooled.shape[-1], name="dense")(pooled)


class Mlp(nn.Module):
    """Equation 2: e = u ∘ tanh(W a + b) at each of the L = F'·T' positions, mean, dense.

    Attributes:
      num_scenes: K.
      dropout: rate before the last dense layer.
      head_width: C', the length of u, b and e.
      axis_name: mapped axis over which a batch is spread, or None.
    """

    num_scenes: int
    dropout: float = 0.0
    head_width: int = 256
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch mel frame channel"], train: bool
    ) -> Float[Array, "batch {self.num_scenes}"]:
        """Returns the logits, in float32."""
        a = _at_least_float32(features)
        # Glorot & Bengio 2010 derived theirs for tanh; the paper names no start.
        project = nn.Dense(self.head_width, kernel_init=nn.initializers.glorot_uniform(), name="w")
        u = self.param("u", nn.initializers.ones, (self.head_width,))
        e = u.reshape(1, 1, 1, -1) * jnp.tanh(project(a))
        pooled = layers.Dropout(self.dropout, self.axis_name)(e.mean((1, 2)), train)
        return layers.dense(self.num_scenes, pooled.shape[-1], name="dense")(pooled)


def _at_least_float32(x: Array) -> Array:
    return x.astype(jnp.promote_types(jnp.float32, x.dtype))


HEADS = {"gap": Gap, "mlp": Mlp, "baseline": baseline.Head}
