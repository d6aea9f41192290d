"""Linear probes: what each block of a trunk knows of the scenes, before any training on them."""
