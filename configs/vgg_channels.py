"""VGG-16 from ImageNet, left + right + average, N_s = 6, gap (Table 3, second row).

Run: python -m ascjax.main --config=configs/vgg_channels.py --config.data.root=DIR
       --config.init.weights=imagenet
The paper, TUT Urban Acoustic Scenes 2018, fold 1: 75.5 %.
The weights are made by `python -m convert vgg16 --out weights/`.
"""

from ml_collections import ConfigDict

from configs import vgg_fragments


def get_config() -> ConfigDict:
    """Returns vgg_fragments.py with three channels."""
    config = vgg_fragments.get_config()
    config.channels = ("left", "right", "average")
    return config
