"""Training: a folder of images and masks becomes a model folder."""

from congeal.training.adapt import suggest_settings
from congeal.training.config import TrainConfig
from congeal.training.loop import train

__all__ = ["TrainConfig", "suggest_settings", "train"]
