"""torchvision checkpoints → converted weights for ascjax, proven equal: ``python -m convert``."""
