"""ResNet-50 on the average channel, N_s = 1, head gap (paper, Table 1).

ascjax train --config=resnet --config.data.root=DIR [--config.init.weights=random]

Table 1 has two rows of it, on TUT Urban Acoustic Scenes 2018, fold 1: fine-tuned from ImageNet
70.2 %, as here, and 61.6 % from random weights. `ascjax convert resnet50 --out weights/` makes the
weights.
Takes: 7 hours on two cores, estimated from ten steps
"""

from ml_collections import ConfigDict

from ascjax.configs import common


def get_config() -> ConfigDict:
    """Returns common.py with ResNet-50 from ImageNet weights."""
    config = common.get_config()
    config.model.trunk = "resnet50"
    config.init.weights = "imagenet"
    return config
