"""Groupings: from embeddings to groups of pixels."""

from congeal.grouping.anchors import AnchorSearch
from congeal.grouping.components import absorb_small, connect, fill_holes, split_parts
from congeal.grouping.groups import Grouping, Groups, groups_from_labels
from congeal.grouping.local_shift import local_mean_shift
from congeal.grouping.mean_shift import MeanShift, mean_shift_step
from congeal.grouping.modes import assign_to_modes, converge, find_modes
from congeal.grouping.readout import ReadOut

__all__ = [
    "AnchorSearch",
    "Grouping",
    "Groups",
    "MeanShift",
    "ReadOut",
    "absorb_small",
    "assign_to_modes",
    "connect",
    "converge",
    "fill_holes",
    "find_modes",
    "groups_from_labels",
    "local_mean_shift",
    "mean_shift_step",
    "split_parts",
]
