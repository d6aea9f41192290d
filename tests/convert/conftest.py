"""Checkpoints to convert."""

import pytest
from fake_checkpoint import fake_state_dict


@pytest.fixture
def state_dict():
    """Makes a random state_dict in torchvision's layout: (name, num_classes=None)."""
    return fake_state_dict
