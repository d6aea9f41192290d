"""Beyond one process: several runs on a Ray cluster."""
