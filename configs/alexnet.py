"""AlexNet on the average channel, N_s = 1, head gap: the AlexNet rows of the paper's Table 1.

Run: python -m ascjax.main --config=configs/alexnet.py --config.data.root=DIR
       [--config.init.weights=imagenet]
The paper, TUT Urban Acoustic Scenes 2018, fold 1: 59.5 % from random weights, 64.3 % fine-tuned.
It needs 63 frames, so that 10 s can be cut into 6 fragments and no more.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns common.py with AlexNet."""
    config = common.get_config()
    config.model.trunk = "alexnet"
    return config
