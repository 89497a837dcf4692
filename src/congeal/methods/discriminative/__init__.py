"""The discriminative loss (De Brabandere, Neven & Van Gool, 2017) as a method."""

from congeal.methods.discriminative.config import DiscriminativeConfig
from congeal.methods.discriminative.model import Discriminative

__all__ = ["Discriminative", "DiscriminativeConfig"]
