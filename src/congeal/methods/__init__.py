"""Methods: each joins a network, a loss and a grouping."""

from congeal.methods.rpe import RPE, RPEConfig

__all__ = ["RPE", "RPEConfig"]
