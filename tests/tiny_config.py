"""The defaults with the trunk of tiny_trunk.py, also in a process of its own.

Takes: seconds
"""

import tiny_trunk  # noqa: F401

from ascjax.configs import common


def get_config():
    config = common.get_config()
    config.model.trunk = "tiny"
    return config
