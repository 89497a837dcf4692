"""Adapters between protocols and data: required ground truth, settings, arguments of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from congeal.data.cityscapes import CITYSCAPES_CLASSES
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.segments import segments_of
from congeal.metrics.protocols import TRUTHS, Protocol
from congeal.segmentation import Segmentation

__all__ = ["ADAPTERS", "missing_output", "missing_truth", "settings_of"]

Adapter = Callable[[Any, Comparison], object]

_FIRST_CITYSCAPES_INSTANCE = 24
REGION_THRESHOLDS = tuple(k / 20 for k in range(1, 20))  # of contours


def missing_truth(protocol: Protocol, dataset: Dataset, sample: Sample) -> str | None:
    """Describe the ground truth that a protocol needs and a dataset lacks; None if complete.

    Args:
        protocol: the protocol.
        dataset: the dataset.
        sample: one of its samples.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> discs = open_dataset("discs", "test", count=1)
        >>> missing_truth(PROTOCOLS["miou"], discs, discs[0])
        'expected semantic maps for protocol miou, discs has label maps of objects'
    """
    needed = _needed(protocol, dataset, sample)
    if needed is None:
        return _without_distances(protocol, dataset, sample)
    return (
        f"expected {needed} for protocol {protocol.name}, {dataset.name} has {_available(sample)}"
    )


def missing_output(protocol: Protocol, result: Segmentation) -> str | None:
    """Describe the output that a protocol needs and a result lacks; None if complete.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> missing_output(PROTOCOLS["coco"], Segmentation.from_maps(semantic=[[1]]))
        'expected a result with objects for protocol coco, got Segmentation(1 x 1, semantic)'
    """
    available, needed = result.has_objects, "objects"
    if protocol.name == "bsds-humans":
        return None
    if protocol.name in ("bsds-boundaries", "bsds-regions"):
        available, needed = available or result.boundary is not None, "a boundary map or objects"
    elif protocol.truth in ("semantic", "panoptic") and protocol.name != "retrieval":
        available, needed = available or result.semantic is not None, "a semantic map or objects"
    if available:
        return None
    return f"expected a result with {needed} for protocol {protocol.name}, got {result!r}"


def _needed(protocol: Protocol, dataset: Dataset, sample: Sample) -> str | None:
    classes = sample.semantic is not None or sample.classes is not None
    streets = dataset.class_names == CITYSCAPES_CLASSES
    if protocol.name.startswith("cityscapes") and not (classes and streets):
        return "the classes of Cityscapes"
    if protocol.truth in ("semantic", "panoptic") and not classes:
        return TRUTHS[protocol.truth]
    if protocol.name == "bsds-boundaries":
        return None  # without annotators, the boundaries of the labels are used
    if protocol.truth == "annotators":
        regions = protocol.name == "bsds-regions"
        drawn = sample.annotations or (sample.boundaries and not regions)
        return None if drawn else TRUTHS[protocol.truth]
    return None


def _without_distances(protocol: Protocol, dataset: Dataset, sample: Sample) -> str | None:
    """The problem if the dataset has no distances for the sample, else None."""
    if protocol.name != "cityscapes-distances":
        return None
    try:
        dataset.distances(sample.name)
    except CongealError as error:
        return f"protocol {protocol.name}: {error}"
    return None


def _available(sample: Sample) -> str:
    held = ["label maps of objects"]
    held += ["classes of objects"] if sample.classes is not None else []
    held += ["semantic maps"] if sample.semantic is not None else []
    held += ["several annotations"] if sample.annotations or sample.boundaries else []
    return " and ".join([", ".join(held[:-1]), held[-1]] if held[:-1] else held)


def settings_of(protocol: Protocol, dataset: Dataset, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the settings of a protocol with the number of classes and things of the dataset.

    Args:
        protocol: the protocol.
        dataset: the dataset; its classes with instances are things.
        given: settings that take precedence.

    Raises:
        CongealError: a required setting is neither given nor known from the dataset.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> settings_of(PROTOCOLS["miou"], open_dataset("discs", count=1), {"classes": 3})
        {'classes': 3}
    """
    classes = given.get("classes", len(dataset.class_names) or None)
    derived: dict[str, Any] = {"classes": classes, "clusters": classes}
    derived["thresholds"] = REGION_THRESHOLDS
    if dataset.class_names:
        derived["things"] = _things(dataset)
    required = {name: derived[name] for name in protocol.needs if derived.get(name) is not None}
    settings = {**required, **given}
    if "things" in settings and dataset.class_names:
        first = 0 if dataset.has_background else 1
        rest = set(range(first, len(dataset.class_names))) - set(settings["things"])
        settings.setdefault("stuff", tuple(sorted(rest)))
    missing = [name for name in protocol.needs if name not in settings]
    if missing:
        raise CongealError(
            f"expected the settings {missing} for protocol {protocol.name}, because {dataset.name} "
            "has no class names"
        )
    return settings


def _things(dataset: Dataset) -> tuple[int, ...]:
    """Classes with instances: all but the background, and for Cityscapes a subset."""
    numbers = range(1, len(dataset.class_names))
    if dataset.class_names != CITYSCAPES_CLASSES:
        return tuple(numbers)
    return tuple(k for k in numbers if dataset.class_ids[k] >= _FIRST_CITYSCAPES_INSTANCE)


def _label_maps(metric: Any, comparison: Comparison) -> None:
    metric.update(prediction=comparison.labels, truth=comparison.sample.labels)


def _objects(metric: Any, comparison: Comparison) -> None:
    metric.update(prediction=comparison.predicted_objects(), truth=comparison.true_objects())


def _single_objects(metric: Any, comparison: Comparison) -> None:
    metric.update(
        prediction=comparison.predicted_objects(), truth=comparison.true_objects(crowds=False)
    )


def _cityscapes(metric: Any, comparison: Comparison) -> None:
    truth, found = comparison.cityscapes()
    metric.update(prediction=found, truth=truth)


def _cityscapes_distances(metric: Any, comparison: Comparison) -> None:
    truth, found = comparison.cityscapes()
    metric.update(prediction=found, truth=truth, distances=comparison.distances())


def _update_boundaries(metric: Any, comparison: Comparison) -> None:
    metric.update(prediction=comparison.contours(), truth=comparison.annotated_boundaries())


def _humans(metric: Any, comparison: Comparison) -> None:
    metric.update(truth=comparison.annotated_boundaries())


def _regions(metric: Any, comparison: Comparison) -> None:
    metric.update(
        prediction=comparison.regions(metric.thresholds), truth=comparison.annotated_regions()
    )


def _classes(metric: Any, comparison: Comparison) -> None:
    metric.update(prediction=comparison.predicted_classes, truth=comparison.true_classes)


def _clusters(metric: Any, comparison: Comparison) -> None:
    metric.update(prediction=comparison.clusters, truth=comparison.true_classes)


def _panoptic(metric: Any, comparison: Comparison) -> None:
    truth, found, truth_classes, found_classes = comparison.panoptic(metric.things)
    metric.update(
        prediction=found,
        truth=truth,
        prediction_classes=found_classes,
        truth_classes=truth_classes,
    )


def _masks(metric: Any, comparison: Comparison) -> None:
    for true, pred in comparison.matched_masks():
        metric.update(prediction=pred, truth=true)


def _retrieval(metric: Any, comparison: Comparison) -> None:
    if comparison.memory is None:
        raise CongealError("expected a memory bank of prototypes for protocol retrieval, got none")
    found = segments_of(comparison)
    nearest = comparison.memory.nearest(found.prototypes, metric.k)
    metric.update(prediction=nearest, truth=found.classes, areas=found.areas)


ADAPTERS: dict[str, Adapter] = {
    **dict.fromkeys(("coco", "coco-agnostic"), _objects),
    **dict.fromkeys(("apr", "apr-dvis", "apr-fcis"), _single_objects),
    **dict.fromkeys(("proposals", "proposals-hosang"), _single_objects),
    "cityscapes": _cityscapes,
    "cityscapes-distances": _cityscapes_distances,
    "bsds-boundaries": _update_boundaries,
    "bsds-humans": _humans,
    "bsds-regions": _regions,
    **dict.fromkeys(("miou", "trimap", "contour-f1"), _classes),
    "unsupervised": _clusters,
    "panoptic": _panoptic,
    "retrieval": _retrieval,
    **dict.fromkeys(("hausdorff", "davis", "boundary-iou"), _masks),
    **dict.fromkeys(("cvppp", "matching", "seg", "aji", "clustering", "voi"), _label_maps),
}
"""By protocol, the function that updates its metric with an image."""
