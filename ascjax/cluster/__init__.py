"""Beyond one process: runs and bulk prediction on a Ray cluster."""
