"""The verb: segment every image of a dataset and compare with its labels."""

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
from congeal.evaluation.adapters import lacking
from congeal.evaluation.agreement import Agreement
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.examples import Example, RankedExamples, draw_example
from congeal.evaluation.judge import Judge, make_judge
from congeal.evaluation.memory import Memory
from congeal.evaluation.result import Evaluation
from congeal.evaluation.segments import KeepsEmbedding, learn_memory
from congeal.evaluation.true_classes import GivenTrueClasses
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

# What a result with objects, or with a map alone, can be compared with; objects can be painted.
_JUDGES = {
    "objects": ("instances", "objects", "panoptic", "semantic", "annotators"),
    "semantic": ("semantic",),
    "boundary": ("annotators",),
}

EXAMPLES = 12
"""Images shown in a report, the worst."""
BEST = 4
"""The best images shown after them."""
FALLBACK = "matching"
"""The protocol that any dataset can serve."""
TOLD = "the model was told the true class of every pixel"


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
    """Segment every image of a dataset and compare with its labels.

    Images are taken one at a time and let go, so memory does not grow with their size and
    number; of the worst, small pictures are kept for the report. Seconds are those of the model
    alone. Nothing is written unless the whole evaluation succeeds.

    Args:
        model: folder of a model, name of a shipped one, or anything with ``segment(image)``.
        data: name or path of a dataset, or a dataset.
        protocol: how to measure, a name of :data:`congeal.metrics.PROTOCOLS`. The default is the
            protocol that belongs to the dataset, or that of the model's task where the model
            makes nothing that the former compares, or ``"matching"`` where images lack what is
            needed.
        split: part of a dataset that is opened by name or path: ``"train"``, ``"val"``,
            ``"test"`` or ``"all"``. The default is the one a model is not trained on: the test
            images where there are some, else those for validation.
        thresholds: in place of the protocol's own; of matching, the IoU from which a predicted
            object counts as matched, above 0 and up to 1.
        measure: other settings of the protocol's metric, over what the dataset tells, such as
            ``{"classes": 21}``. For ``"retrieval"``, ``memory`` is the dataset, or the part of
            this one, to retrieve from, ``"train"`` unless given, and ``memory_limit`` the number
            of its images, all unless given.
        quick: make a quick estimate, of ``"bsds-boundaries"``, which says that it is one.
        output: folder for ``evaluation.json`` and ``report.html``; nothing is written without.
        limit: stop after so many images.
        report: keep the worst images and write the report page.
        device: where a model that is opened runs: ``"auto"``, ``"cpu"``, ``"cuda"``.
        settings: of the decoding of a model that is opened, in place of those stored.
        true_classes: tell the model the true class of every pixel, so that what is wrong is its
            grouping alone (AP_gt of De Brabandere et al., 2017); for models that can be told.
        pixel_size: micrometres per pixel of all images; None: what each file tells. Where the
            model stores the size of its training, images are resized to it for the network.
        on_image: called after each image with its number from 1, their count, and its scores.
        on_memory: of ``"retrieval"``, called after each image that goes into the memory, which is
            made before anything is scored, with its number from 1 and their count.
        on_note: called with what looks wrong in the masks, a line each, before time is spent.

    Raises:
        CongealError: model or data cannot be opened, there are no images, the protocol is
            unknown or needs what the data does not have, an option is out of range, the model
            cannot be told classes, the output folder cannot be written, or the model fails on
            an image.

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
    wanted = dict(measure or {})
    learned = _memory_data(chosen, model, data, wanted)
    judge = make_judge(chosen, dataset, wanted, thresholds, quick)
    memory = None
    if learned is not None:
        segmenter = KeepsEmbedding(segmenter)
        memory = learn_memory(segmenter, learned, on_memory)
    shown, rows = RankedExamples(*((EXAMPLES, BEST) if report else (0, 0))), []
    segment = (
        GivenTrueClasses(segmenter, dataset).segment
        if true_classes
        else _plain(segmenter, pixel_size)
    )
    notes += (TOLD,) * true_classes
    draw = partial(_draw, segmenter)
    people = Agreement(judge) if report else None
    for row in _score_images(segment, dataset, count, judge, shown, memory, draw, people):
        rows.append(row)
        if on_image is not None:
            on_image(len(rows), count, row)
    found = _collect(name, dataset, judge, rows, shown, notes)
    found = found if people is None else people.add_to(found)
    if output is not None:
        found.save(output, report=report)
    return found


def _protocol_of_task(task: Task | None, dataset: Dataset) -> Protocol | None:
    """The protocol of a model's task, where that of the data compares what it does not make."""
    named = PROTOCOLS.get(dataset.protocol)
    if task is None or named is None or named.truth in _JUDGES[task.fills]:
        return None
    return PROTOCOLS[task.protocol]


def _choose_protocol(asked: Protocol | None, dataset: Dataset) -> tuple[Protocol, tuple[str, ...]]:
    """Give the protocol, and a note where the one of the dataset cannot be had."""
    named = asked or PROTOCOLS.get(dataset.protocol)
    if named is None:
        return PROTOCOLS[FALLBACK], (f"{FALLBACK}, for there is no protocol {dataset.protocol}",)
    if named.truth == "instances":  # what every dataset has
        return named, ()
    problem = lacking(named, dataset, dataset[0])
    if problem is None:
        return named, ()
    if asked is not None:
        raise CongealError(problem)
    return PROTOCOLS[FALLBACK], (f"{FALLBACK}: {problem}",)


def _memory_data(
    protocol: Protocol, model: object, data: str | Path | Dataset, wanted: dict[str, Any]
) -> Dataset | None:
    """Open what is retrieved from, and take it out of the settings; None for other protocols."""
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
    """Refuse a folder that cannot be written before the work is done, without making it yet."""
    if output is None:
        return
    target = Path(output).absolute()
    there = next(path for path in (target, *target.parents) if os.path.exists(path))
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "may not be written" if there.is_dir() else "is a file"
        raise CongealError(f"cannot write the evaluation to {output}: {there} {reason}")


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
    """Give the number of images to look at."""
    if limit is not None and limit < 1:
        raise CongealError(f"expected a limit of at least one image, got {limit}")
    if not len(dataset):
        raise CongealError(f"expected images to evaluate, found none in {dataset!r}")
    return len(dataset) if limit is None else min(limit, len(dataset))


def _open_model(
    model: str | Path | Segmenter, device: str, settings: Mapping[str, Any] | None
) -> tuple[Segmenter, str]:
    if isinstance(model, str | Path):
        from congeal.models.folder import load  # late: other segmenters need no PyTorch

        return load(model, device=device, settings=settings), str(model)
    if not callable(getattr(model, "segment", None)):
        kind = type(model).__name__
        raise CongealError(f"expected a model folder, a name or something to segment, got {kind}")
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
    people: Agreement | None,
) -> Iterator[Row]:
    for index in range(count):
        sample = dataset[index]
        result, seconds = _segment(segment, sample)
        one = Comparison(sample, result, dataset, memory)
        row = {"name": sample.name, **_judge(judge, one), "seconds": seconds}
        if people is not None:
            people.look(one)
        shown.offer(judge.badness(row), partial(draw, row, judge, one))
        yield row


def _draw(model: Segmenter, row: Row, judge: Judge, one: Comparison) -> Example:
    """An image of the report, with the steps between image and result that the model draws."""
    illustrate = getattr(model, "illustrate", None)
    steps = () if illustrate is None else tuple(illustrate(one.sample.image))
    return replace(draw_example(row, judge, one), steps=steps)


def _judge(judge: Judge, one: Comparison) -> Row:
    try:
        return judge.look(one)
    except CongealError as error:
        raise CongealError(f"cannot measure {one.sample.name}: {error}") from error


def _segment(segment: SegmentSample, sample: Sample) -> tuple[Segmentation, float]:
    """Segment a sample and take the time; a failure says on which image it was."""
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
