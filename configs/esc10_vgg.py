"""ESC-10 with the paper's trunk, VGG-16: from random weights or fine-tuned.

ascjax train --config=esc10_vgg --config.data.root=DIR --folds=all
  [--config.init.weights=imagenet] [--config.model.head=mlp]

Measured over the five folds, one seed: 76.5 % from random weights (57.0 % with head mlp), 89.0 %
from ImageNet (92.0 % with mlp, 88.8 % with N_s = 3): weights of Simonyan and Zisserman as Keras has
them, not torchvision's. See benchmarks/RESULTS.md.
Takes: 20 to 28 minutes a fold on one core
"""

from ml_collections import ConfigDict

from ascjax.configs import esc10


def get_config() -> ConfigDict:
    """Returns esc10.py with VGG-16, at the rate and length of its PyTorch reference."""
    config = esc10.get_config()
    config.model.trunk = "vgg16"
    config.train.num_epochs = 10
    config.optimizer.learning_rate = 2e-4
    return config
