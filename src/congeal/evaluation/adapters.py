"""What every protocol asks of the data, and what its metric is given for an image."""

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

__all__ = ["FEEDERS", "lacking", "settings_of", "unsuited"]

Feeder = Callable[[Any, Comparison], object]

_FIRST_CITYSCAPES_THING = 24
REGION_CUTS = tuple(cut / 20 for cut in range(1, 20))  # of contours, into regions


def lacking(protocol: Protocol, dataset: Dataset, sample: Sample) -> str | None:
    """Say in a line what a protocol needs that a dataset does not have, None if nothing.

    Args:
        protocol: how to measure.
        dataset: what to measure on.
        sample: one of its images.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> discs = open_dataset("discs", "test", count=1)
        >>> lacking(PROTOCOLS["miou"], discs, discs[0])
        'expected maps of classes for protocol miou, discs has label maps of objects'
    """
    needed = _needed(protocol, dataset, sample)
    if needed is None:
        return _without_distances(protocol, dataset, sample)
    return f"expected {needed} for protocol {protocol.name}, {dataset.name} has {_held(sample)}"


def unsuited(protocol: Protocol, result: Segmentation) -> str | None:
    """Say in a line what a protocol needs of a result that it does not have, None if nothing.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> unsuited(PROTOCOLS["coco"], Segmentation.from_maps(semantic=[[1]]))
        'expected a result with objects for protocol coco, got Segmentation(1 x 1, semantic)'
    """
    served, what = result.has_objects, "objects"
    if protocol.name == "bsds-humans":
        return None
    if protocol.name in ("bsds-boundaries", "bsds-regions"):
        served, what = served or result.boundary is not None, "a boundary map or objects"
    elif protocol.truth in ("semantic", "panoptic") and protocol.name != "retrieval":
        served, what = served or result.semantic is not None, "a semantic map or objects"
    if served:
        return None
    return f"expected a result with {what} for protocol {protocol.name}, got {result!r}"


def _needed(protocol: Protocol, dataset: Dataset, sample: Sample) -> str | None:
    classes = sample.semantic is not None or sample.classes is not None
    streets = dataset.class_names == CITYSCAPES_CLASSES
    if protocol.name.startswith("cityscapes") and not (classes and streets):
        return "the classes of Cityscapes"
    if protocol.truth in ("semantic", "panoptic") and not classes:
        return TRUTHS[protocol.truth]
    if protocol.name == "bsds-boundaries":
        return None  # without annotators, the outlines of the labels stand for one
    if protocol.truth == "annotators":
        regions = protocol.name == "bsds-regions"
        drawn = sample.annotations or (sample.boundaries and not regions)
        return None if drawn else TRUTHS[protocol.truth]
    return None


def _without_distances(protocol: Protocol, dataset: Dataset, sample: Sample) -> str | None:
    """Ask for distances once: only the dataset knows which of its files tell them."""
    if protocol.name != "cityscapes-distances":
        return None
    try:
        dataset.distances(sample.name)
    except CongealError as error:
        return f"protocol {protocol.name}: {error}"
    return None


def _held(sample: Sample) -> str:
    held = ["label maps of objects"]
    held += ["classes of objects"] if sample.classes is not None else []
    held += ["maps of classes"] if sample.semantic is not None else []
    held += ["several annotations"] if sample.annotations or sample.boundaries else []
    return " and ".join([", ".join(held[:-1]), held[-1]] if held[:-1] else held)


def settings_of(protocol: Protocol, dataset: Dataset, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the settings of a protocol by what the dataset says of its classes.

    Args:
        protocol: how to measure.
        dataset: gives the number of classes; those that have objects count as things.
        given: settings that go before.

    Raises:
        CongealError: a setting is needed that the dataset does not tell.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> settings_of(PROTOCOLS["miou"], open_dataset("discs", count=1), {"classes": 3})
        {'classes': 3}
    """
    classes = given.get("classes", len(dataset.class_names) or None)
    told: dict[str, Any] = {"classes": classes, "clusters": classes}
    told["thresholds"] = REGION_CUTS
    if dataset.class_names:
        told["things"] = _things(dataset)
    known = {name: told[name] for name in protocol.needs if told.get(name) is not None}
    settings = {**known, **given}
    if "things" in settings and dataset.class_names:
        first = 0 if dataset.has_background else 1
        rest = set(range(first, len(dataset.class_names))) - set(settings["things"])
        settings.setdefault("stuff", tuple(sorted(rest)))
    missing = [name for name in protocol.needs if name not in settings]
    if missing:
        raise CongealError(
            f"expected the settings {missing} for protocol {protocol.name}, for {dataset.name} "
            "does not name its classes"
        )
    return settings


def _things(dataset: Dataset) -> tuple[int, ...]:
    """Classes whose objects are told apart: all but the background, of Cityscapes some."""
    numbers = range(1, len(dataset.class_names))
    if dataset.class_names != CITYSCAPES_CLASSES:
        return tuple(numbers)
    return tuple(k for k in numbers if dataset.class_ids[k] >= _FIRST_CITYSCAPES_THING)


def _label_maps(metric: Any, one: Comparison) -> None:
    metric.update(prediction=one.labels, truth=one.sample.labels)


def _objects(metric: Any, one: Comparison) -> None:
    metric.update(prediction=one.predicted_objects(), truth=one.true_objects())


def _single_objects(metric: Any, one: Comparison) -> None:
    metric.update(prediction=one.predicted_objects(), truth=one.true_objects(crowds=False))


def _cityscapes(metric: Any, one: Comparison) -> None:
    truth, found = one.cityscapes()
    metric.update(prediction=found, truth=truth)


def _cityscapes_distances(metric: Any, one: Comparison) -> None:
    truth, found = one.cityscapes()
    metric.update(prediction=found, truth=truth, distances=one.distances())


def _boundaries(metric: Any, one: Comparison) -> None:
    metric.update(prediction=one.contours(), truth=one.drawn_boundaries())


def _humans(metric: Any, one: Comparison) -> None:
    metric.update(truth=one.drawn_boundaries())


def _regions(metric: Any, one: Comparison) -> None:
    metric.update(prediction=one.regions(metric.thresholds), truth=one.annotated_regions())


def _classes(metric: Any, one: Comparison) -> None:
    metric.update(prediction=one.predicted_classes, truth=one.true_classes)


def _clusters(metric: Any, one: Comparison) -> None:
    metric.update(prediction=one.clusters, truth=one.true_classes)


def _panoptic(metric: Any, one: Comparison) -> None:
    truth, found, truth_classes, found_classes = one.panoptic(metric.things)
    metric.update(
        prediction=found,
        truth=truth,
        prediction_classes=found_classes,
        truth_classes=truth_classes,
    )


def _masks(metric: Any, one: Comparison) -> None:
    for true, pred in one.matched_masks():
        metric.update(prediction=pred, truth=true)


def _retrieval(metric: Any, one: Comparison) -> None:
    if one.memory is None:
        raise CongealError("expected a memory of prototypes for protocol retrieval, got none")
    found = segments_of(one)
    nearest = one.memory.nearest(found.prototypes, metric.k)
    metric.update(prediction=nearest, truth=found.classes, areas=found.areas)


FEEDERS: dict[str, Feeder] = {
    **dict.fromkeys(("coco", "coco-agnostic"), _objects),
    **dict.fromkeys(("apr", "apr-dvis", "apr-fcis"), _single_objects),
    **dict.fromkeys(("proposals", "proposals-hosang"), _single_objects),
    "cityscapes": _cityscapes,
    "cityscapes-distances": _cityscapes_distances,
    "bsds-boundaries": _boundaries,
    "bsds-humans": _humans,
    "bsds-regions": _regions,
    **dict.fromkeys(("miou", "trimap", "contour-f1"), _classes),
    "unsupervised": _clusters,
    "panoptic": _panoptic,
    "retrieval": _retrieval,
    **dict.fromkeys(("hausdorff", "davis", "boundary-iou"), _masks),
    **dict.fromkeys(("cvppp", "matching", "seg", "aji", "clustering", "voi"), _label_maps),
}
"""For each protocol, what gives its metric an image."""
