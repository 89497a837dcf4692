"""The table of evaluation protocols: metric, required ground truth and headline score of each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from congeal.errors import CongealError, unknown
from congeal.metrics.metric import Metric

__all__ = ["PROTOCOLS", "TRUTHS", "Protocol", "find_protocol"]

TRUTHS = {
    "instances": "label maps of objects, or masks of single objects; no classes, no scores",
    "objects": "objects with classes, and predictions with classes and scores",
    "panoptic": "label maps of objects and semantic maps together",
    "semantic": "semantic maps",
    "annotators": "several annotations of each image",
}


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol, as of ``congeal evaluate --protocol NAME``.

    Attributes:
        name: short name, in lower case with hyphens.
        title: description in one line.
        path: module and class of the metric, ``"module:Class"``; imported on use.
        truth: required ground truth, a key of :data:`TRUTHS`.
        takes: arguments of ``update`` of the metric, prediction first.
        headline: name of the main score, among those of ``compute``.
        source: paper, and official tool with equal results.
        higher: whether higher values of the headline are better.
        options: settings of the metric that define the protocol.
        needs: settings without default, which depend on the data.

    Example:
        >>> PROTOCOLS["cvppp"].headline, PROTOCOLS["cvppp"].truth
        ('sbd', 'instances')
    """

    name: str
    title: str
    path: str
    truth: str
    takes: str
    headline: str
    source: str
    higher: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def metric(self) -> type[Metric]:
        """Import the class of the metric.

        Example:
            >>> PROTOCOLS["cvppp"].metric().__name__
            'LeafMetric'
        """
        module, _, name = self.path.partition(":")
        kind: type[Metric] = getattr(import_module(module), name)
        return kind

    def create(self, **settings: Any) -> Metric:
        """Create an empty metric.

        Args:
            settings: of the metric; they override the options of the protocol.

        Raises:
            CongealError: a required setting is missing, or a setting is unknown.

        Example:
            >>> PROTOCOLS["miou"].create(classes=21).compute()["miou"]
            nan
        """
        kind = self.metric()
        known = list(inspect.signature(kind).parameters)
        for name in settings:
            if name not in known:
                raise unknown(f"setting of protocol {self.name}", name, known)
        given = {**self.options, **settings}
        missing = [name for name in self.needs if name not in given]
        if missing:
            got = sorted(settings) or "none"
            raise CongealError(
                f"expected the settings {missing} for protocol {self.name}, got {got}"
            )
        return kind(**given)


def find_protocol(name: str) -> Protocol:
    """Find a protocol by name.

    Raises:
        CongealError: the name is unknown.

    Example:
        >>> find_protocol("panoptic").headline
        'pq'
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


_OBJECTS = "predicted and true Objects"
_LABELS = "predicted and true label map"
_CLASSES = "predicted and true semantic map"
_MASKS = "predicted and true mask of one object"

_ALL = (
    Protocol(
        "coco",
        "COCO average precision and recall of masks, class by class",
        "congeal.metrics.coco:CocoMetric",
        "objects",
        _OBJECTS,
        "ap",
        "Lin et al. 2014; pycocotools",
    ),
    Protocol(
        "coco-agnostic",
        "COCO average precision and recall of masks, all objects as one class",
        "congeal.metrics.coco:CocoMetric",
        "objects",
        _OBJECTS,
        "ap",
        "Lin et al. 2014; pycocotools with useCats = 0",
        options={"class_agnostic": True},
    ),
    Protocol(
        "apr",
        "AP^r of simultaneous detection and segmentation; AP^r_vol is the mean over IoU .1 to .9",
        "congeal.metrics.average_precision:AveragePrecisionMetric",
        "objects",
        _OBJECTS,
        "apr_vol",
        "Hariharan et al. 2014; the SDS evaluation",
        options={"variant": "sds"},
    ),
    Protocol(
        "apr-dvis",
        "AP^r of simultaneous detection and segmentation, mean over IoU .5 to .9 as in DVIS",
        "congeal.metrics.average_precision:AveragePrecisionMetric",
        "objects",
        _OBJECTS,
        "apr_dvis",
        "Yuan et al. 2020, tables 4 and 5; the SDS evaluation",
        options={"variant": "sds"},
    ),
    Protocol(
        "apr-fcis",
        "AP^r of MNC and FCIS, ported from the VOC 2007 devkit, 11-point interpolation",
        "congeal.metrics.average_precision:AveragePrecisionMetric",
        "objects",
        _OBJECTS,
        "apr@0.5",
        "Dai et al. 2016; Li et al. 2017; their voc_eval_sds",
        options={"variant": "fcis"},
    ),
    Protocol(
        "proposals",
        "average recall of the first N proposals, with the best proposal of each object",
        "congeal.metrics.proposals:ProposalMetric",
        "objects",
        _OBJECTS,
        "ar@100",
        "Pont-Tuset et al. 2017; the evaluation of MCG",
    ),
    Protocol(
        "proposals-hosang",
        "average recall of the first N proposals, matched one to one",
        "congeal.metrics.proposals:ProposalMetric",
        "objects",
        _OBJECTS,
        "ar_hosang@100",
        "Hosang et al. 2016; detection-proposals",
    ),
    Protocol(
        "cityscapes",
        "Cityscapes average precision of instances, AP and AP50",
        "congeal.metrics.cityscapes:CityscapesMetric",
        "objects",
        "predicted Objects and map of Cityscapes ids",
        "ap",
        "Cordts et al. 2016; cityscapesScripts",
    ),
    Protocol(
        "cityscapes-distances",
        "Cityscapes average precision of instances, also within 100 m and 50 m",
        "congeal.metrics.cityscapes:CityscapesMetric",
        "objects",
        "predicted Objects, map of Cityscapes ids and distances by id",
        "ap_50m",
        "Cordts et al. 2016; cityscapesScripts",
        options={"distances": True},
    ),
    Protocol(
        "bsds-boundaries",
        "boundaries against several annotators: ODS, OIS and AP of BSDS500",
        "congeal.metrics.bsds_boundaries:BsdsBoundaryMetric",
        "annotators",
        "boundary map, 0 to 1, and the annotated boundaries",
        "ods",
        "Martin et al. 2004; Arbelaez et al. 2011; the BSDS500 benchmark",
    ),
    Protocol(
        "bsds-humans",
        "agreement among the annotators of BSDS500",
        "congeal.metrics.bsds_boundaries:HumanAgreementMetric",
        "annotators",
        "the annotated boundaries",
        "f",
        "Martin et al. 2004; the BSDS500 benchmark",
    ),
    Protocol(
        "bsds-regions",
        "regions against several annotators: covering, PRI and VOI of BSDS500",
        "congeal.metrics.bsds_regions:BsdsRegionMetric",
        "annotators",
        "a segmentation for each threshold and the annotated segmentations",
        "covering_ods",
        "Arbelaez et al. 2011; the BSDS500 benchmark",
        needs=("thresholds",),
    ),
    Protocol(
        "miou",
        "mean IoU of classes on the counts of the whole dataset",
        "congeal.metrics.semantic:SemanticMetric",
        "semantic",
        _CLASSES,
        "miou",
        "Everingham et al. 2010; the VOC devkit",
        needs=("classes",),
    ),
    Protocol(
        "trimap",
        "mean IoU within 1 to 40 pixels of void, the boundaries of PASCAL VOC",
        "congeal.metrics.semantic:TrimapMetric",
        "semantic",
        _CLASSES,
        "miou@10",
        "Kohli et al. 2009; DeepLab's MyVOCevalsegBoundary",
        needs=("classes",),
    ),
    Protocol(
        "contour-f1",
        "F1 of class contours within 1, 5 and 10 pixels",
        "congeal.metrics.boundaries:ContourF1Metric",
        "semantic",
        _CLASSES,
        "contour_f1@5",
        "Csurka et al. 2013; Yuan et al. 2020, table 8",
    ),
    Protocol(
        "cvppp",
        "leaves: symmetric best Dice, difference in count, foreground Dice",
        "congeal.metrics.leaves:LeafMetric",
        "instances",
        _LABELS,
        "sbd",
        "Scharr et al. 2016; BestDice.m of the CVPPP challenge",
    ),
    Protocol(
        "matching",
        "objects matched one to one: TP / (TP + FP + FN), precision, recall, F1, PQ",
        "congeal.metrics.matching:MatchingMetric",
        "instances",
        _LABELS,
        "matching_ap@0.5",
        "Schmidt et al. 2018; stardist.matching",
    ),
    Protocol(
        "panoptic",
        "panoptic, segmentation and recognition quality of things and stuff",
        "congeal.metrics.panoptic:PanopticMetric",
        "panoptic",
        "predicted and true map of segments, and the classes of the segments",
        "pq",
        "Kirillov et al. 2019; panopticapi",
        needs=("things",),
    ),
    Protocol(
        "seg",
        "SEG of the Cell Tracking Challenge: IoU with the object that covers most of a cell",
        "congeal.metrics.nuclei:NucleiMetric",
        "instances",
        _LABELS,
        "seg",
        "Maska et al. 2014; py-ctcmetrics",
    ),
    Protocol(
        "aji",
        "nuclei: aggregated Jaccard index, AJI+, ensemble Dice",
        "congeal.metrics.nuclei:NucleiMetric",
        "instances",
        _LABELS,
        "aji",
        "Kumar et al. 2017; Graham et al. 2019; hover_net",
    ),
    Protocol(
        "hausdorff",
        "Hausdorff distance, its percentiles, average surface distance and surface Dice",
        "congeal.metrics.hausdorff:SurfaceMetric",
        "instances",
        _MASKS,
        "hd",
        "scikit-image; MedPy, MONAI and surface-distance for the percentiles",
        higher=False,
    ),
    Protocol(
        "davis",
        "region J and boundary F of DAVIS",
        "congeal.metrics.boundaries:DavisMetric",
        "instances",
        _MASKS,
        "j_and_f",
        "Perazzi et al. 2016; davis2017-evaluation",
    ),
    Protocol(
        "boundary-iou",
        "IoU of the bands along the boundaries of masks",
        "congeal.metrics.boundaries:BoundaryIouMetric",
        "instances",
        _MASKS,
        "boundary_iou",
        "Cheng et al. 2021; boundary-iou-api",
    ),
    Protocol(
        "clustering",
        "partitions of pixels: adjusted Rand index, mutual information, Rand error",
        "congeal.metrics.clustering:ClusteringMetric",
        "instances",
        _LABELS,
        "ari",
        "Hubert and Arabie 1985; scikit-learn, scikit-image",
    ),
    Protocol(
        "voi",
        "partitions of pixels: variation of information in bits, merges and splits",
        "congeal.metrics.clustering:ClusteringMetric",
        "instances",
        _LABELS,
        "voi",
        "Meila 2007; scikit-image",
        higher=False,
    ),
    Protocol(
        "unsupervised",
        "mean IoU after assigning classes to clusters",
        "congeal.metrics.unsupervised:UnsupervisedMetric",
        "semantic",
        "map of clusters and true semantic map",
        "miou",
        "Van Gansbeke et al. 2021; MaskContrast",
        needs=("clusters", "classes"),
    ),
    Protocol(
        "retrieval",
        "classes of segments retrieved from the nearest prototypes",
        "congeal.metrics.retrieval:RetrievalMetric",
        "semantic",
        "classes of the nearest prototypes of each segment, its class and area",
        "retrieval_miou@21",
        "Hwang et al. 2019; SegSort",
        options={"k": 21},
        needs=("classes",),
    ),
)

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
