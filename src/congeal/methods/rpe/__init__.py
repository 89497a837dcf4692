"""Recurrent Pixel Embedding for Instance Grouping (Kong & Fowlkes, CVPR 2018).

The method ``rpe`` has one class per task: :class:`RPE` (instances), :class:`RPEBoundaries`,
:class:`RPEProposals` and :class:`RPESemantic`.
"""

from congeal.methods.rpe.boundaries import RPEBoundaries
from congeal.methods.rpe.boundaries_config import RPEBoundariesConfig
from congeal.methods.rpe.config import RPEConfig
from congeal.methods.rpe.model import RPE
from congeal.methods.rpe.proposals import RPEProposals
from congeal.methods.rpe.proposals_config import RPEProposalsConfig
from congeal.methods.rpe.semantic import RPESemantic
from congeal.methods.rpe.semantic_config import RPESemanticConfig

__all__ = [
    "RPE",
    "RPEBoundaries",
    "RPEBoundariesConfig",
    "RPEConfig",
    "RPEProposals",
    "RPEProposalsConfig",
    "RPESemantic",
    "RPESemanticConfig",
]
