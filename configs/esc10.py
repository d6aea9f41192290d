"""ESC-10 (environmental sounds, 10 classes, 5 folds) from random weights.

Run: python -m ascjax.main --config=configs/esc10.py --config.data.root=DIR [--config.data.fold=2]
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns common.py for short mono clips: one fragment, all scenes' clips in 320 examples."""
    config = common.get_config()
    config.train.batch_size = 16
    return config
