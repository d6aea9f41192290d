"""Acoustic scene classification with transferred image networks, in JAX/Flax."""

__version__ = "0.1.0"
