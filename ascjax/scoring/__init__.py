"""Posteriors to scores, metrics and confidence: pure functions of NumPy arrays."""
