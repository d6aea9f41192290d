"""ESC-10 with a small VGG from random weights: environmental sounds, 10 classes.

ascjax train --config=esc10 --config.data.root=DIR --folds=all

Measured over the five folds of 80 clips: 91.0 %, one seed (chance is 10 %); see
benchmarks/RESULTS.md. esc10_vgg.py has the paper's trunk.
Takes: 3 minutes a fold on two cores
"""

from ml_collections import ConfigDict

from ascjax.configs import common


def get_config() -> ConfigDict:
    """Returns common.py for short mono clips: one fragment each, 320 to train on."""
    config = common.get_config()
    config.model.trunk = "vgg_tiny"
    config.train.batch_size = 16
    config.train.num_epochs = 30
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "one_cycle"
    return config
