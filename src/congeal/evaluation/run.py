"""The verb: segment every image of a dataset and compare with its labels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.registry import held_out_split, open_dataset
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError, unknown
from congeal.evaluation.examples import WorstExamples
from congeal.evaluation.result import Evaluation
from congeal.metrics.matching import THRESHOLDS, Matching, MatchingMetric
from congeal.segmentation import Segmenter

__all__ = ["PROTOCOLS", "evaluate"]

Labels = NDArray[np.int64]
Row = dict[str, Any]

PROTOCOLS = ("matching",)
EXAMPLES = 12
"""Images shown in a report."""


def evaluate(
    model: str | Path | Segmenter,
    data: str | Path | Dataset,
    *,
    split: str | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    output: str | Path | None = None,
    limit: int | None = None,
    report: bool = True,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    on_image: Callable[[int, int, Row], None] | None = None,
) -> Evaluation:
    """Segment every image of a dataset and compare with its labels.

    Images are taken one at a time and let go, so memory does not grow with their size and
    number; of the worst, small pictures are kept for the report. Seconds are those of the model
    alone. Nothing is written unless the whole evaluation succeeds.

    Args:
        model: folder of a model, name of a shipped one, or anything with ``segment(image)``.
        data: name or path of a dataset, or a dataset.
        split: part of a dataset that is opened by name or path: ``"train"``, ``"val"``,
            ``"test"`` or ``"all"``. The default is the one a model is not trained on: the test
            images where there are some, else those for validation.
        thresholds: IoU from which a predicted object counts as matched, above 0 and up to 1.
        output: folder for ``evaluation.json`` and ``report.html``; nothing is written without.
        limit: stop after so many images.
        report: keep the worst images and write the report page.
        device: where a model that is opened runs: ``"auto"``, ``"cpu"``, ``"cuda"``.
        settings: of the read-out of a model that is opened, in place of those stored.
        on_image: called after each image with its number from 1, their count, and its scores.

    Raises:
        CongealError: model or data cannot be opened, there are no images, an option is out of
            range, the output folder cannot be written, or the model fails on an image.

    Example:
        >>> from congeal.segmentation import Segmentation
        >>> class Bright:
        ...     def segment(self, image):
        ...         return Segmentation.from_labels(image.mean(-1) > 128)
        >>> found = evaluate(Bright(), open_dataset("discs", "test", count=2), thresholds=[0.5])
        >>> found.metrics["images"]
        2
    """
    metric = MatchingMetric(thresholds)
    _check_output(output)
    dataset = data if isinstance(data, Dataset) else _open_data(data, split)
    count = _check_dataset(dataset, limit)
    segmenter, name = _open_model(model, device, settings)
    worst, rows = WorstExamples(EXAMPLES if report else 0), []
    for row in _score_images(segmenter, dataset, count, metric, worst):
        rows.append(row)
        if on_image is not None:
            on_image(len(rows), count, row)
    found = _collect(name, dataset, metric, rows, worst)
    if output is not None:
        found.save(output, report=report)
    return found


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
    model: str, dataset: Dataset, metric: MatchingMetric, rows: list[Row], worst: WorstExamples
) -> Evaluation:
    seconds = float(np.mean([row["seconds"] for row in rows]))
    return Evaluation(
        data=dataset.name,
        split=dataset.split,
        model=model,
        protocol=dataset.protocol,
        thresholds=metric.thresholds,
        metrics=metric.compute() | {"seconds_per_image": seconds},
        per_image=rows,
        examples=worst.worst_first(),
    )


def _open_data(data: str | Path, split: str | None) -> Dataset:
    return open_dataset(data, held_out_split(data) if split is None else split)


def _check_dataset(dataset: Dataset, limit: int | None) -> int:
    """Give the number of images to look at."""
    if dataset.protocol not in PROTOCOLS:
        raise unknown("protocol", dataset.protocol, PROTOCOLS)
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


def _score_images(
    model: Segmenter, dataset: Dataset, count: int, metric: MatchingMetric, worst: WorstExamples
) -> Iterator[Row]:
    for index in range(count):
        sample = dataset[index]
        labels, seconds = _segment(model, sample)
        found = metric.update(sample.labels, labels)
        row = {**_scores(sample.name, found), "seconds": seconds}
        worst.offer(row, found, sample, labels)
        yield row


def _segment(model: Segmenter, sample: Sample) -> tuple[Labels, float]:
    """Segment a sample and take the time; a failure says on which image it was."""
    started = time.perf_counter()
    try:
        result = model.segment(sample.image)
    except CongealError as error:
        raise CongealError(f"the model failed on {sample.name}: {error}") from error
    except Exception as error:
        error.add_note(f"while segmenting {sample.name}")
        raise
    seconds = time.perf_counter() - started
    if result.shape != sample.labels.shape:
        raise CongealError(
            f"expected a segmentation of {sample.name} of its size {sample.labels.shape}, "
            f"got {result.shape}"
        )
    return result.labels, seconds


def _scores(name: str, found: Sequence[Matching]) -> Row:
    row: Row = {"name": name}
    for one in found:
        at = f"@{one.threshold:g}"
        row[f"matching_ap{at}"] = one.ap
        row |= {f"tp{at}": one.tp, f"fp{at}": one.fp, f"fn{at}": one.fn}
    return {**row, "true": found[0].n_true, "predicted": found[0].n_pred}
