"""ESC-10 with the paper's own network, VGG-16: what is transfer from images worth to it?

Run: python -m ascjax.main --config=configs/esc10_vgg.py --config.data.root=DIR
  [--config.init.weights=weights/vgg16.safetensors] [--config.model.head=mlp]
"""

from ml_collections import ConfigDict

from configs import esc10


def get_config() -> ConfigDict:
    """Returns esc10.py with VGG-16, trained as its PyTorch reference was."""
    config = esc10.get_config()
    config.model.trunk = "vgg16"
    config.train.num_epochs = 10
    config.optimizer.learning_rate = 2e-4
    return config
