"""Beyond one process: one training over several, or several runs on a Ray cluster."""
