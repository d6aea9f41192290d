"""Data: which recordings exist, their features, and batches of fragments."""
