"""ESC-10 (10 classes of environmental sound, 5 folds of 80 clips) with VGG-16 from random weights.

Run: python -m ascjax.main --config=configs/esc10.py --config.data.root=DIR [--config.data.fold=2]
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns common.py for short mono clips: one fragment, 320 examples to train on."""
    config = common.get_config()
    config.train.batch_size = 16
    config.train.num_epochs = 10
    config.optimizer.schedule = "one_cycle"
    return config
