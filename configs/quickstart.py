"""The whole pipeline on a small synthetic set with a small trunk.

make run, or ascjax train --config=quickstart

As vgg_mlp.py (left + right + average, N_s = 6, head mlp), but the trunk is a VGG with one
convolution a stage, from random weights, and the recordings are synthesised. Its accuracy shows
that the machinery works and says nothing about real scenes.
Takes: 3 minutes on two cores
"""

from ml_collections import ConfigDict

from ascjax.configs import vgg_mlp


def get_config() -> ConfigDict:
    """Returns vgg_mlp.py with a small trunk and a synthetic set."""
    config = vgg_mlp.get_config()
    config.protocol = "validated"
    config.data.layout = "synthetic"
    config.data.root = "data/synthetic"
    config.model.trunk = "vgg_tiny"
    config.init.weights = "random"
    config.train.batch_size = 32
    config.train.num_epochs = 8
    config.optimizer.learning_rate = 1e-3
    return config
