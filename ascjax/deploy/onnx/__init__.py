"""From a JAX function to an ONNX model, primitive by primitive.

For networks that read as plain JAX: convolutions, pools, products, elementwise functions; trunks
and heads of one's own are converted as those that come along. jax2onnx, the library for it, can't
be installed beside the Orbax that ascjax needs (0.17.1 asks for an older one), and fails to pad an
array with a dynamic axis.
"""

from ascjax.deploy.onnx.convert import OPSET, convert
from ascjax.deploy.onnx.graph import Inexpressible

__all__ = ["OPSET", "Inexpressible", "convert"]
