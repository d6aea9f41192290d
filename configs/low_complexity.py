"""A network within DCASE's limits: 128 kB in int8, 30 million MACs per second of audio.

ascjax train --config=low_complexity --config.data.root=DIR --config.train.teacher=runs/LARGE

Learns from the labels and from the scores of a larger run, tested on the same fold. The report
lists what it takes; `ascjax export --quantise` writes it with weights in int8, and a card that
counts both. Over ESC-10's five folds, one seed: 88.8 % (89.2 % in int8) with the teacher esc10,
which has 91.0 %; 87.5 % without, which may be chance.
Takes: 4 minutes a fold of ESC-10 on one core
"""

from ml_collections import ConfigDict

from ascjax.configs import common


def get_config() -> ConfigDict:
    """Returns common.py with a trunk of 103,000 parameters, augmented and validated."""
    config = common.get_config()
    config.protocol = "validated"
    config.model.trunk = "vgg_micro"
    config.train.batch_size = 16
    config.train.num_epochs = 60
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "one_cycle"
    config.augment.max_shift = 0.5
    config.augment.mixup_alpha = 0.2
    return config
