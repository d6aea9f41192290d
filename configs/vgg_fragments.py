"""VGG-16 from ImageNet on fragments of the average channel, head gap: the paper's Table 2.

Run: python -m ascjax.main --config=configs/vgg_fragments.py --config.data.root=DIR
       [--config.fragments.count=3] --config.init.weights=imagenet
The paper, TUT Urban Acoustic Scenes 2018, fold 1: 71.6, 73.9, 71.8 and 71.8 % with N_s = 3, 6, 9
and 12. The weights are made by `python -m convert vgg16 --out weights/`.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns common.py with the N_s that the paper found best."""
    config = common.get_config()
    config.fragments.count = 6
    return config
