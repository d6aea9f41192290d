"""AlexNet on the average channel, N_s = 1, head gap (paper, Table 1).

ascjax train --config=alexnet --config.data.root=DIR [--config.init.weights=random]

Table 1 has two rows of it, on TUT Urban Acoustic Scenes 2018, fold 1: fine-tuned from ImageNet
64.3 %, as here, and 59.5 % from random weights. `ascjax convert alexnet --out weights/` makes the
weights. AlexNet needs fragments of 63 frames, so 10 s can be cut into 6 fragments at most.
Takes: 35 minutes on two cores, estimated from ten steps
"""

from ml_collections import ConfigDict

from ascjax.configs import common


def get_config() -> ConfigDict:
    """Returns common.py with AlexNet from ImageNet weights."""
    config = common.get_config()
    config.model.trunk = "alexnet"
    config.init.weights = "imagenet"
    return config
