"""ESC-10 (10 classes of environmental sound, 5 folds of 80 clips) from random weights, on a CPU.

Run: python -m ascjax.main --config=configs/esc10.py --config.data.root=DIR [--config.data.fold=2]
The trunk is small, so that two cores train it in minutes; --config.model.trunk=vgg16 is the
paper's. Measured on fold 1: 82.5 % (chance 10 %), see benchmarks/RESULTS.md.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns common.py for short mono clips: one fragment, 320 examples to train on."""
    config = common.get_config()
    config.model.trunk = "vgg_tiny"
    config.train.batch_size = 16
    config.train.num_epochs = 30
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "one_cycle"
    return config
