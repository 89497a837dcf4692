"""``congeal.evaluate``: segment every image of a dataset and score the predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from congeal.clock import now
from congeal.data.check import quick_problems
from congeal.data.pixel_size import read_pixel_size
from congeal.data.registry import held_out_split
from congeal.data.resized import ResizedImage
from congeal.data.sample import Dataset, Sample, Subset
from congeal.errors import CongealError
from congeal.evaluation.adapters import missing_truth
from congeal.evaluation.agreement import Agreement
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.examples import Example, RankedExamples, draw_example
from congeal.evaluation.judge import Judge, make_judge
from congeal.evaluation.memory import Memory
from congeal.evaluation.result import Evaluation
from congeal.evaluation.segments import EmbeddingSegmenter, build_memory
from congeal.evaluation.true_classes import TrueClassSegmenter
from congeal.metrics.protocols import PROTOCOLS, Protocol, find_protocol
from congeal.models.channels import open_for
from congeal.models.pixel_size import UNITS_ONLY, resize_factor, trained_pixel_size
from congeal.segmentation import Segmentation, Segmenter
from congeal.segmentation.resize import resize_result
from congeal.segmentation.scale import Scale
from congeal.segmentation.segmenter import request_maps
from congeal.tasks import Task

__all__ = ["evaluate"]

Row = dict[str, Any]
SegmentSample = Callable[[Sample], Segmentation]

# Ground truth that each output can be compared with; objects can be converted to semantic maps.
_COMPARABLE = {
    "objects": ("instances", "objects", "panoptic", "semantic", "annotators"),
    "semantic": ("semantic",),
    "boundary": ("annotators",),
}

EXAMPLES = 12
"""Number of worst images in a report."""
BEST = 4
"""Number of best images in a report."""
FALLBACK = "matching"
"""Protocol that is applicable to any dataset with labels."""
TRUE_CLASSES_NOTE = "the model was given the ground-truth class of every pixel"


def evaluate(
    model: str | Path | Segmenter,
    data: str | Path | Dataset,
    *,
    protocol: str | None = None,
    split: str | None = None,
    thresholds: Sequence[float] | None = None,
    measure: Mapping[str, Any] | None = None,
    quick: bool = False,
    output: str | Path | None = None,
    limit: int | None = None,
    report: bool = True,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    true_classes: bool = False,
    pixel_size: float | None = None,
    on_image: Callable[[int, int, Row], None] | None = None,
    on_memory: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Segment every image of a dataset and score the predictions against the ground truth.

    Images are processed one at a time, so memory does not grow with their number; small pictures of
    the worst and best are kept for the report. Seconds are those of the model alone. Nothing is
    written unless the whole evaluation succeeds.

    Args:
        model: model folder, name of a shipped model, or any object with ``segment(image)``.
        data: name or path of a dataset, or a dataset.
        protocol: a name of :data:`congeal.metrics.PROTOCOLS`; None: the protocol of the dataset if
            the model predicts its output, else that of the model's task, and ``"matching"`` if the
            dataset lacks the ground truth.
        split: of a dataset opened by name or path: ``"train"``, ``"val"``, ``"test"`` or ``"all"``;
            None: the test split if there is one, else the validation split.
        thresholds: override those of the protocol; for matching IoU thresholds in (0, 1].
        measure: further settings of the metric, such as ``{"classes": 21}``; they override those
            from the dataset. For ``"retrieval"``: ``memory`` is the dataset, or the split of this
            one, of the memory bank (default ``"train"``), ``memory_limit`` its number of images
            (default all).
        quick: compute an estimate with few thresholds, for ``"bsds-boundaries"``.
        output: folder for ``evaluation.json`` and ``report.html``; None: write nothing.
        limit: maximum number of images.
        report: whether to write the report page.
        device: of a model opened here: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        settings: decoding settings that override those of a model opened here.
        true_classes: give the model the ground-truth class of every pixel, to score its grouping
            alone (AP_gt of De Brabandere et al., 2017), for models that support it.
        pixel_size: micrometres per pixel of all images; None: from each file. If the model stores
            the pixel size of its training, images are resized to it for the network.
        on_image: called with (number, total, scores) after each image.
        on_memory: for ``"retrieval"``, called with (number, total) after each image of the memory
            bank, which is built first.
        on_note: called before the evaluation with suspicious findings in the masks, one line each.

    Raises:
        CongealError: model or data cannot be opened, there are no images, the protocol is unknown
            or needs ground truth that the data lacks, an option is out of range, the model does not
            support ``true_classes``, the output folder cannot be written, or the model fails on an
            image.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.segmentation import Segmentation
        >>> class Bright:
        ...     def segment(self, image):
        ...         return Segmentation.from_labels(image.mean(-1) > 128)
        >>> found = evaluate(Bright(), open_dataset("discs", "test", count=2), thresholds=[0.5])
        >>> found.metrics["images"]
        2
    """
    chosen = None if protocol is None else find_protocol(protocol)
    _check_output(output)
    dataset = data if isinstance(data, Dataset) else _open_data(model, data, split)
    count = _check_dataset(dataset, limit)
    segmenter, name = _open_model(model, device, settings)
    if chosen is None:
        chosen = _protocol_of_task(getattr(segmenter, "task", None), dataset)
    chosen, notes = _choose_protocol(chosen, dataset)
    if chosen.truth == "annotators" and segmenter is not model:
        request_maps(segmenter, "boundary")
    Scale(pixel_size)
    if pixel_size is not None and trained_pixel_size(segmenter) is None:
        on_note(UNITS_ONLY)
    for line in quick_problems(dataset) if chosen.truth == "instances" else ():
        on_note(line)
    settings_given = dict(measure or {})
    bank = _memory_data(chosen, model, data, settings_given)
    judge = make_judge(chosen, dataset, settings_given, thresholds, quick)
    memory = None
    if bank is not None:
        segmenter = EmbeddingSegmenter(segmenter)
        memory = build_memory(segmenter, bank, on_memory)
    shown, rows = RankedExamples(*((EXAMPLES, BEST) if report else (0, 0))), []
    segment = (
        TrueClassSegmenter(segmenter, dataset).segment
        if true_classes
        else _plain(segmenter, pixel_size)
    )
    notes += (TRUE_CLASSES_NOTE,) * true_classes
    draw = partial(_draw, segmenter)
    agreement = Agreement(judge) if report else None
    for row in _score_images(segment, dataset, count, judge, shown, memory, draw, agreement):
        rows.append(row)
        if on_image is not None:
            on_image(len(rows), count, row)
    found = _collect(name, dataset, judge, rows, shown, notes)
    found = found if agreement is None else agreement.add_to(found)
    if output is not None:
        found.save(output, report=report)
    return found


def _protocol_of_task(task: Task | None, dataset: Dataset) -> Protocol | None:
    """The protocol of a model's task, unless that of the dataset comes first and applies."""
    named = PROTOCOLS.get(dataset.protocol)
    if task is None or named is None:
        return None
    if named.truth in _COMPARABLE[task.output] and not task.own_protocol:
        return None
    return PROTOCOLS[task.protocol]


def _choose_protocol(chosen: Protocol | None, dataset: Dataset) -> tuple[Protocol, tuple[str, ...]]:
    """The protocol, and a note if the one of the dataset is not applicable."""
    named = chosen or PROTOCOLS.get(dataset.protocol)
    if named is None:
        return PROTOCOLS[FALLBACK], (
            f"{FALLBACK}, because there is no protocol {dataset.protocol}",
        )
    if named.truth == "instances":  # available in every dataset
        return named, ()
    problem = missing_truth(named, dataset, dataset[0])
    if problem is None:
        return named, ()
    if chosen is not None:
        raise CongealError(problem)
    return PROTOCOLS[FALLBACK], (f"{FALLBACK}: {problem}",)


def _memory_data(
    protocol: Protocol, model: object, data: str | Path | Dataset, wanted: dict[str, Any]
) -> Dataset | None:
    """Open the dataset of the memory bank and remove it from the settings; None if not needed."""
    if protocol.name != "retrieval":
        return None
    memory, limit = wanted.pop("memory", "train"), wanted.pop("memory_limit", None)
    if not isinstance(memory, Dataset):
        if isinstance(data, Dataset):
            raise CongealError("expected a dataset as memory for protocol retrieval, got a name")
        memory = open_for(model, data, memory)
    if limit is None:
        return memory
    if not isinstance(limit, int) or limit < 1:
        raise CongealError(f"expected a memory of at least one image, got {limit}")
    return Subset(memory, range(min(limit, len(memory))))


def _check_output(output: str | Path | None) -> None:
    """Raise an error for a folder that cannot be written, before the evaluation starts."""
    if output is None:
        return
    target = Path(output).absolute()
    existing = next(path for path in (target, *target.parents) if os.path.exists(path))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        reason = "is not writable" if existing.is_dir() else "is a file"
        raise CongealError(f"cannot write the evaluation to {output}: {existing} {reason}")


def _collect(
    model: str,
    dataset: Dataset,
    judge: Judge,
    rows: list[Row],
    shown: RankedExamples,
    notes: tuple[str, ...],
) -> Evaluation:
    seconds = float(np.mean([row["seconds"] for row in rows]))
    scores = judge.compute()
    return Evaluation(
        data=dataset.name,
        split=dataset.split,
        model=model,
        protocol=judge.protocol.name,
        thresholds=judge.thresholds,
        metrics={**scores, "images": scores.get("images", len(rows)), "seconds_per_image": seconds},
        per_image=rows,
        examples=shown.worst_first(),
        best=shown.best_first(),
        headline=judge.headline,
        notes=(*notes, *judge.notes),
        class_names=dataset.class_names,
    )


def _open_data(model: object, data: str | Path, split: str | None) -> Dataset:
    return open_for(model, data, held_out_split(data) if split is None else split)


def _check_dataset(dataset: Dataset, limit: int | None) -> int:
    """Number of images to evaluate."""
    if limit is not None and limit < 1:
        raise CongealError(f"expected a limit of at least one image, got {limit}")
    if not len(dataset):
        raise CongealError(f"expected images to evaluate, found none in {dataset!r}")
    return len(dataset) if limit is None else min(limit, len(dataset))


def _open_model(
    model: str | Path | Segmenter, device: str, settings: Mapping[str, Any] | None
) -> tuple[Segmenter, str]:
    if isinstance(model, str | Path):
        from congeal.models.folder import load  # imported late: other segmenters need no PyTorch

        return load(model, device=device, settings=settings), str(model)
    if not callable(getattr(model, "segment", None)):
        kind = type(model).__name__
        raise CongealError(f"expected a model folder, a model name or a segmenter, got {kind}")
    return model, type(model).__name__


def _plain(model: Segmenter, pixel_size: float | None) -> SegmentSample:
    """Segment as ``congeal segment`` does, at the pixel size of the training."""
    if trained_pixel_size(model) is None:
        return lambda sample: model.segment(sample.image)

    def segment(sample: Sample) -> Segmentation:
        own = None if sample.path is None else read_pixel_size(sample.path)
        factor = resize_factor(model, own if pixel_size is None else pixel_size)
        if factor == 1:
            return model.segment(sample.image)
        found = model.segment(ResizedImage(sample.image, factor).pixels())
        height, width = sample.image.shape[:2]
        return resize_result(found, (height, width))

    return segment


def _score_images(
    segment: SegmentSample,
    dataset: Dataset,
    count: int,
    judge: Judge,
    shown: RankedExamples,
    memory: Memory | None,
    draw: Callable[[Row, Judge, Comparison], Example],
    agreement: Agreement | None,
) -> Iterator[Row]:
    for index in range(count):
        sample = dataset[index]
        result, seconds = _segment(segment, sample)
        comparison = Comparison(sample, result, dataset, memory)
        row = {"name": sample.name, **_judge(judge, comparison), "seconds": seconds}
        if agreement is not None:
            agreement.update(comparison)
        shown.offer(judge.badness(row), partial(draw, row, judge, comparison))
        yield row


def _draw(model: Segmenter, row: Row, judge: Judge, comparison: Comparison) -> Example:
    """Pictures of an image for the report, with intermediate steps if the model draws them."""
    illustrate = getattr(model, "illustrate", None)
    steps = () if illustrate is None else tuple(illustrate(comparison.sample.image))
    return replace(draw_example(row, judge, comparison), steps=steps)


def _judge(judge: Judge, comparison: Comparison) -> Row:
    try:
        return judge.update(comparison)
    except CongealError as error:
        raise CongealError(f"cannot measure {comparison.sample.name}: {error}") from error


def _segment(segment: SegmentSample, sample: Sample) -> tuple[Segmentation, float]:
    """Segment a sample and measure the time; errors name the image."""
    started = now()
    try:
        result = segment(sample)
    except CongealError as error:
        raise CongealError(f"the model failed on {sample.name}: {error}") from error
    except Exception as error:
        error.add_note(f"while segmenting {sample.name}")
        raise
    seconds = now() - started
    if result.shape != sample.labels.shape:
        raise CongealError(
            f"expected a segmentation of {sample.name} of its size {sample.labels.shape}, "
            f"got {result.shape}"
        )
    return result, seconds
