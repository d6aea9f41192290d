"""What is there for speed or for several devices: host options, pmap, rounds, convolutions."""
