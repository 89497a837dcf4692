"""Losses that shape an embedding: functions, each with its Module."""

from congeal.losses.balanced_logistic import BalancedLogisticLoss, balanced_logistic_loss
from congeal.losses.discriminative import (
    DiscriminativeLoss,
    DiscriminativeTerms,
    discriminative_loss,
    discriminative_terms,
)
from congeal.losses.memory_bank import PrototypeBank
from congeal.losses.pairwise import (
    PairwiseLoss,
    PixelSample,
    pairwise_loss,
    sample_pixels,
    sampled_pairwise_loss,
)
from congeal.losses.segments import (
    SegmentMap,
    SegmentPrototypes,
    intersect_segments,
    segment_prototypes,
)
from congeal.losses.touching import touching
from congeal.losses.variational import (
    VariationalLoss,
    VariationalTerms,
    VariationalWeights,
    variational_loss,
    variational_terms,
)
from congeal.losses.variational_terms import (
    binary_term,
    huber,
    mumford_shah_term,
    permutation_term,
    quantisation_term,
)
from congeal.losses.vmf import VMFLoss, VMFNLoss, vmf_loss, vmf_n_loss
from congeal.losses.window_pairs import random_pairs, window_offsets

__all__ = [
    "BalancedLogisticLoss",
    "DiscriminativeLoss",
    "DiscriminativeTerms",
    "PairwiseLoss",
    "PixelSample",
    "PrototypeBank",
    "SegmentMap",
    "SegmentPrototypes",
    "VMFLoss",
    "VMFNLoss",
    "VariationalLoss",
    "VariationalTerms",
    "VariationalWeights",
    "balanced_logistic_loss",
    "binary_term",
    "discriminative_loss",
    "discriminative_terms",
    "huber",
    "intersect_segments",
    "mumford_shah_term",
    "pairwise_loss",
    "permutation_term",
    "quantisation_term",
    "random_pairs",
    "sample_pixels",
    "sampled_pairwise_loss",
    "segment_prototypes",
    "touching",
    "variational_loss",
    "variational_terms",
    "vmf_loss",
    "vmf_n_loss",
    "window_offsets",
]
