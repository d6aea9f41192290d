"""Checkpoints to convert, in torchvision's layout."""

import numpy as np
import pytest
import torch

from convert.mapping import expected_slots


@pytest.fixture
def state_dict():
    """Makes a random state_dict with random (not fresh) statistics, as trained networks have."""

    def make(name, num_classes=None):
        rng = np.random.default_rng(0)
        state = {}
        for key, slot in expected_slots(name, num_classes).items():
            if key.endswith("running_var"):
                values = rng.uniform(0.5, 2, slot.shape)
            elif len(slot.shape) == 1:
                is_scale = slot.path.endswith("scale")
                values = rng.normal(1 if is_scale else 0, 0.2, slot.shape)
            else:
                values = rng.standard_normal(slot.shape, np.float32)
                values *= np.sqrt(2 / np.prod(slot.shape[1:]))
            state[key] = torch.from_numpy(values.astype(np.float32))
        return state

    return make
