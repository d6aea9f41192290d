"""VGG-16 on the average channel, N_s = 1, head gap: the VGG rows of the paper's Table 1.

Run: python -m ascjax.main --config=configs/vgg.py --config.data.root=DIR
       [--config.init.weights=imagenet]
The paper, TUT Urban Acoustic Scenes 2018, fold 1: 61.9 % from random weights, 70.6 % fine-tuned.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns the defaults of common.py, which are this row."""
    return common.get_config()
