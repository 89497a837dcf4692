"""Recurrent Pixel Embedding for Instance Grouping (Kong & Fowlkes, CVPR 2018).

The name stands for a class for each kind of task: :class:`RPE` (instances),
:class:`RPEBoundaries` and :class:`RPESemantic`.
"""

from congeal.methods.rpe.boundaries import RPEBoundaries
from congeal.methods.rpe.boundaries_config import RPEBoundariesConfig
from congeal.methods.rpe.config import RPEConfig
from congeal.methods.rpe.model import RPE
from congeal.methods.rpe.semantic import RPESemantic
from congeal.methods.rpe.semantic_config import RPESemanticConfig

__all__ = [
    "RPE",
    "RPEBoundaries",
    "RPEBoundariesConfig",
    "RPEConfig",
    "RPESemantic",
    "RPESemanticConfig",
]
