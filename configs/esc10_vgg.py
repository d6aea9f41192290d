"""ESC-10 with the paper's trunk, VGG-16: from random weights or fine-tuned.

ascjax train --config=esc10_vgg --config.data.root=DIR --folds=all
  [--config.init.weights=imagenet] [--config.model.head=mlp]

Measured on folds 1 and 2, 80 clips each: 81.2 and 93.8 % from ImageNet; on fold 1 57.5 % from
random weights; see benchmarks/RESULTS.md.
Takes: 28 minutes a fold on one core
"""

from ml_collections import ConfigDict

from ascjax.configs import esc10


def get_config() -> ConfigDict:
    """Returns esc10.py with VGG-16, trained like its PyTorch reference."""
    config = esc10.get_config()
    config.model.trunk = "vgg16"
    config.train.num_epochs = 10
    config.optimizer.learning_rate = 2e-4
    return config
