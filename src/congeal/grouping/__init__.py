"""Groupings: from embeddings to groups of pixels."""

from congeal.grouping.components import absorb_small, connect, fill_holes, split_parts
from congeal.grouping.local_shift import local_mean_shift
from congeal.grouping.mean_shift import MeanShift, mean_shift_step
from congeal.grouping.modes import assign_to_modes, converge, find_modes
from congeal.grouping.readout import ReadOut

__all__ = [
    "MeanShift",
    "ReadOut",
    "absorb_small",
    "assign_to_modes",
    "connect",
    "converge",
    "fill_holes",
    "find_modes",
    "local_mean_shift",
    "mean_shift_step",
    "split_parts",
]
