"""Posteriors → scores, metrics, calibration and tests of significance: NumPy alone."""
