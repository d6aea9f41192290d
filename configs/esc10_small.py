"""The network that comes with ascjax: a small VGG on ESC-10, validated and calibrated.

ascjax train --config=esc10_small --config.data.root=DIR

As esc10.py, but under the protocol "validated", which fits temperature and thresholds, and with
clips moved in time and mixed. `python -m ascjax.deploy.ship` makes ascjax/shipped/esc10 from its
run on fold 1; the card there has the accuracy.
Takes: not measured
"""

from ml_collections import ConfigDict

from ascjax.configs import esc10


def get_config() -> ConfigDict:
    """Returns esc10.py with a validation part, shifts and mixup."""
    config = esc10.get_config()
    config.protocol = "validated"
    config.data.validation_fraction = 0.2
    config.augment.max_shift = 0.5
    config.augment.mixup_alpha = 0.2
    config.train.num_epochs = 40
    return config
