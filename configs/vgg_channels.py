"""VGG-16 from ImageNet, left + right + average, N_s = 6, head gap (paper, Table 3).

ascjax train --config=vgg_channels --config.data.root=DIR

The paper, on TUT Urban Acoustic Scenes 2018, fold 1: 75.5 %. `ascjax convert vgg16 --out weights/`
makes the weights.
Takes: 40 hours on two cores, estimated from ten steps
"""

from ml_collections import ConfigDict

from ascjax.configs import vgg_fragments


def get_config() -> ConfigDict:
    """Returns vgg_fragments.py with three channels."""
    config = vgg_fragments.get_config()
    config.channels = ("left", "right", "average")
    return config
