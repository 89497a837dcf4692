"""Groupings: from embeddings to groups of pixels."""

from congeal.grouping.components import absorb_small, connect, fill_holes, split_parts
from congeal.grouping.decoder import GroupDecoder
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.grouping.groups import Grouping, Groups, groups_from_labels
from congeal.grouping.kmeans import SphericalKMeans
from congeal.grouping.mean_shift import MeanShift, mean_shift_step
from congeal.grouping.modes import assign_to_modes, find_modes
from congeal.grouping.pipeline import group_pixels
from congeal.grouping.proposals import Proposals, mask_nms
from congeal.grouping.registry import GROUPINGS, build_grouping
from congeal.grouping.retrieval import (
    Neighbours,
    Retrieval,
    RetrievedGroups,
    semantic_map,
)
from congeal.grouping.scalar_shift import ScalarMeanShift, scalar_mean_shift

__all__ = [
    "GROUPINGS",
    "FlatMeanShift",
    "GroupDecoder",
    "Grouping",
    "Groups",
    "MeanShift",
    "Neighbours",
    "Proposals",
    "Retrieval",
    "RetrievedGroups",
    "ScalarMeanShift",
    "SphericalKMeans",
    "absorb_small",
    "assign_to_modes",
    "build_grouping",
    "connect",
    "fill_holes",
    "find_modes",
    "group_pixels",
    "groups_from_labels",
    "mask_nms",
    "mean_shift_step",
    "scalar_mean_shift",
    "semantic_map",
    "split_parts",
]
