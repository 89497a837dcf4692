"""Training: a folder of images and masks becomes a model folder."""

from congeal.training.config import TrainConfig
from congeal.training.loop import Outcome, run_training, train
from congeal.training.plan import Plan, make_plan
from congeal.training.tuning import Tuning, tune

__all__ = ["Outcome", "Plan", "TrainConfig", "Tuning", "make_plan", "run_training", "train", "tune"]
