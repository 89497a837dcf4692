"""Evaluation metrics: one module per family of protocols, on label arrays and masks."""

from congeal.metrics.average_precision import (
    AveragePrecision,
    AveragePrecisionMetric,
    average_precision,
)
from congeal.metrics.boundaries import (
    BoundaryIouMetric,
    ContourF1Metric,
    DavisMetric,
    boundary_band,
    boundary_f,
    boundary_iou,
    contour_f1,
    region_j,
)
from congeal.metrics.boundary_matching import corner_boundaries, match_boundaries
from congeal.metrics.bsds_benchmark import boundary_benchmark
from congeal.metrics.bsds_boundaries import (
    BsdsBoundaryMetric,
    HumanAgreementMetric,
    boundary_counts,
    human_counts,
)
from congeal.metrics.bsds_curves import (
    BoundaryPoint,
    BoundaryScores,
    boundary_scores,
    boundary_thresholds,
)
from congeal.metrics.bsds_regions import (
    BsdsRegionMetric,
    RegionScores,
    region_scores,
    segments_from_contours,
)
from congeal.metrics.cityscapes import CityscapesMetric, CityscapesResult, cityscapes_scores
from congeal.metrics.cityscapes_ids import instance_ids
from congeal.metrics.clustering import ClusteringMetric, ClusteringScores, clustering_scores
from congeal.metrics.coco import CocoMetric, CocoResult, coco_scores
from congeal.metrics.hausdorff import (
    SurfaceMetric,
    SurfaceScores,
    set_hausdorff,
    surface_scores,
)
from congeal.metrics.leaves import LeafMetric, LeafScores, leaf_scores
from congeal.metrics.matching import Matching, MatchingMetric, matching
from congeal.metrics.metric import Metric, gather, merge_all
from congeal.metrics.nuclei import NucleiMetric, NucleiScores, nuclei_scores
from congeal.metrics.objects import Objects
from congeal.metrics.panoptic import (
    PanopticClass,
    PanopticMetric,
    panoptic_counts,
    panoptic_segments,
)
from congeal.metrics.proposals import ProposalMetric, ProposalRecall, proposal_recall
from congeal.metrics.protocols import PROTOCOLS, Protocol, find_protocol
from congeal.metrics.retrieval import RetrievalMetric, majority_labels, nearest_labels
from congeal.metrics.semantic import (
    SemanticMetric,
    TrimapMetric,
    class_iou,
    confusion_matrix,
    mean_iou,
    void_distance,
)
from congeal.metrics.unsupervised import UnsupervisedMetric, assign_clusters, relabelled_confusion

__all__ = [
    "PROTOCOLS",
    "AveragePrecision",
    "AveragePrecisionMetric",
    "BoundaryIouMetric",
    "BoundaryPoint",
    "BoundaryScores",
    "BsdsBoundaryMetric",
    "BsdsRegionMetric",
    "CityscapesMetric",
    "CityscapesResult",
    "ClusteringMetric",
    "ClusteringScores",
    "CocoMetric",
    "CocoResult",
    "ContourF1Metric",
    "DavisMetric",
    "HumanAgreementMetric",
    "LeafMetric",
    "LeafScores",
    "Matching",
    "MatchingMetric",
    "Metric",
    "NucleiMetric",
    "NucleiScores",
    "Objects",
    "PanopticClass",
    "PanopticMetric",
    "ProposalMetric",
    "ProposalRecall",
    "Protocol",
    "RegionScores",
    "RetrievalMetric",
    "SemanticMetric",
    "SurfaceMetric",
    "SurfaceScores",
    "TrimapMetric",
    "UnsupervisedMetric",
    "assign_clusters",
    "average_precision",
    "boundary_band",
    "boundary_benchmark",
    "boundary_counts",
    "boundary_f",
    "boundary_iou",
    "boundary_scores",
    "boundary_thresholds",
    "cityscapes_scores",
    "class_iou",
    "clustering_scores",
    "coco_scores",
    "confusion_matrix",
    "contour_f1",
    "corner_boundaries",
    "find_protocol",
    "gather",
    "human_counts",
    "instance_ids",
    "leaf_scores",
    "majority_labels",
    "match_boundaries",
    "matching",
    "mean_iou",
    "merge_all",
    "nearest_labels",
    "nuclei_scores",
    "panoptic_counts",
    "panoptic_segments",
    "proposal_recall",
    "region_j",
    "region_scores",
    "relabelled_confusion",
    "segments_from_contours",
    "set_hausdorff",
    "surface_scores",
    "void_distance",
]
