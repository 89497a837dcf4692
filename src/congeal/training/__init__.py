"""Training: a folder of images and masks becomes a model folder."""

from congeal.training.adapt import suggest_settings
from congeal.training.config import TrainConfig
from congeal.training.loop import train
from congeal.training.tuning import Tuning, tune

__all__ = ["TrainConfig", "Tuning", "suggest_settings", "train", "tune"]
