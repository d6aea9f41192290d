"""ResNet-50 on the average channel, N_s = 1, head gap: the ResNet rows of the paper's Table 1.

Run: python -m ascjax.main --config=configs/resnet.py --config.data.root=DIR
       [--config.init.weights=imagenet]
The paper, TUT Urban Acoustic Scenes 2018, fold 1: 61.6 % from random weights, 70.2 % fine-tuned.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns common.py with ResNet-50."""
    config = common.get_config()
    config.model.trunk = "resnet50"
    return config
