"""The paper's best: VGG-16 from ImageNet, left + right + average, N_s = 6, head mlp (Table 3).

ascjax train --config=vgg_mlp --config.data.root=DIR

The paper, on TUT Urban Acoustic Scenes 2018, fold 1: 77.8 %, and 75.5 % with the head gap; a 95 %
interval at n = 2,518 is about ±1.6 points. `ascjax convert vgg16 --out weights/` makes the weights.
Takes: 38 hours on two cores, estimated from ten steps
"""

from ml_collections import ConfigDict

from ascjax.configs import vgg_channels


def get_config() -> ConfigDict:
    """Returns vgg_channels.py with the head mlp."""
    config = vgg_channels.get_config()
    config.model.head = "mlp"
    return config
