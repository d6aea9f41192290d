"""Checkpoints in torchvision's layout, made in no time."""

import numpy as np
import torch

from convert.mapping import expected_slots


def fake_state_dict(name: str, num_classes: int | None = None) -> dict[str, torch.Tensor]:
    """Returns a random state_dict with random (not fresh) statistics, as trained networks have."""
    rng = np.random.default_rng(0)
    state = {}
    for key, slot in expected_slots(name, num_classes).items():
        if key.endswith("running_var"):
            values = rng.uniform(0.5, 2, slot.shape)
        elif len(slot.shape) == 1:
            values = rng.normal(slot.path.endswith("scale"), 0.2, slot.shape)
        else:
            values = rng.standard_normal(slot.shape, np.float32)
            values *= np.sqrt(2 / np.prod(slot.shape[1:]))
        state[key] = torch.from_numpy(values.astype(np.float32))
    return state
