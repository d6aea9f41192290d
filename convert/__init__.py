"""torchvision checkpoints → converted weights for ascjax, proven equal: ``ascjax convert``."""
