"""Speed and several devices: pmap, rounds of steps, convolutions on the CPU."""
