"""The whole pipeline on a small synthesised set with a small trunk, in minutes on two cores.

Run: make run, or python -m ascjax.main --config=configs/quickstart.py
Everything is as in vgg_mlp.py (left + right + average, N_s = 6, head mlp), but the trunk is a VGG
of one convolution a stage and the recordings are synthesised. The numbers prove that the machinery
works; they say nothing about real scenes.
"""

from ml_collections import ConfigDict

from configs import vgg_mlp


def get_config() -> ConfigDict:
    """Returns vgg_mlp.py with a small trunk and the embedded set."""
    config = vgg_mlp.get_config()
    config.protocol = "validated"
    config.data.layout = "synthetic"
    config.data.root = "data/synthetic"
    config.model.trunk = "vgg_tiny"
    config.train.batch_size = 32
    config.train.num_epochs = 8
    config.optimizer.learning_rate = 1e-3
    return config
