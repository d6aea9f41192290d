"""VGG-16 from ImageNet on N_s fragments of the average channel, head gap (paper, Table 2).

ascjax train --config=vgg_fragments --config.data.root=DIR [--config.fragments.count=3]

The paper, on TUT Urban Acoustic Scenes 2018, fold 1: 71.6, 73.9, 71.8 and 71.8 % with N_s = 3, 6, 9
and 12; 6 is the default here. `ascjax convert vgg16 --out weights/` makes the weights.
Takes: 13 hours on two cores, estimated from ten steps
"""

from ml_collections import ConfigDict

from ascjax.configs import common


def get_config() -> ConfigDict:
    """Returns common.py with the N_s that the paper found best, from ImageNet weights."""
    config = common.get_config()
    config.fragments.count = 6
    config.init.weights = "imagenet"
    return config
