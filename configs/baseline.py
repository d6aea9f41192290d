"""The DCASE 2018 task 1 baseline: 116,118 parameters on 40 mel bands (paper, Table 3).

ascjax train --config=baseline --config.data.root=DIR [--config.seed=1]

The paper, on TUT Urban Acoustic Scenes 2018, fold 1: 59.7 %, the mean of 10 runs with a deviation
of 0.7 points, so run several seeds. Known differences: the original padded the ends of recordings
by mirroring, this pads with zeros; the original chose the best epoch from the 50th on, this chooses
from the first on.
Takes: 5.5 hours on two cores, estimated from ten steps
"""

from ml_collections import ConfigDict

from ascjax.configs import common


def get_config() -> ConfigDict:
    """Returns common.py with the baseline's own front end, network and recipe."""
    config = common.get_config()
    config.protocol = "validated"
    config.features.num_mels = 40
    config.features.window_size_s = 0.04
    config.features.hop_size_s = 0.02
    config.features.log_floor = 2.2e-16
    config.features.window = "hamming"
    config.features.mel_norm = "none"  # no effect once each band is normalised
    config.features.min_fft_length = 2048
    config.model.trunk = "baseline"
    config.model.head = "baseline"
    config.model.head_width = 100
    config.model.dropout = 0.3
    config.train.batch_size = 16
    config.train.num_epochs = 200
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "constant"
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.clip_norm = 0.0
    return config
