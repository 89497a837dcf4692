"""Recurrent Pixel Embedding for Instance Grouping (Kong & Fowlkes, CVPR 2018)."""

from congeal.methods.rpe.config import RPEConfig
from congeal.methods.rpe.model import RPE

__all__ = ["RPE", "RPEConfig"]
