"""The training step, its loop and what it writes."""
