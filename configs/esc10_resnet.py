"""ESC-10 with ResNet-18: what is transfer from images worth on real sound?

Run, for folds 1 to 5:
  python -m ascjax.main --config=configs/esc10_resnet.py --config.data.root=DIR
    --config.data.fold=1 [--config.init.weights=weights/resnet18.safetensors]
"""

from ml_collections import ConfigDict

from configs import esc10


def get_config() -> ConfigDict:
    """Returns esc10.py with ResNet-18, clips moved in time round and round, and a higher floor.

    The floor leaves the upper 80 dB, as amplitudes of full scale are about 1e2: what is below is
    digital silence and bands that a codec cut off. It was chosen for the fine-tuned start on held
    out training clips (benchmarks/DECISIONS.md); from random weights the floor of common.py is the
    better one. The PyTorch reference was trained with --config.features.log_floor=1e-5
    --config.augment.max_shift=0 --config.train.num_epochs=15, without warm-up and clipping.
    """
    config = esc10.get_config()
    config.model.trunk = "resnet18"
    config.features.log_floor = 1e-2
    config.augment.max_shift = 0.5
    config.train.num_epochs = 20
    config.optimizer.learning_rate = 3e-4
    config.optimizer.schedule = "cosine"
    return config
