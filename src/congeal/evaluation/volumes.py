"""Scoring a label volume against the true one, in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from congeal.clock import now
from congeal.data.label_volumes import open_label_volume
from congeal.errors import CongealError
from congeal.evaluation.result import Evaluation
from congeal.labels import Contingency, contingency, count_contingency
from congeal.metrics.matching import THRESHOLDS, Matching, match_contingency

__all__ = ["evaluate_volumes"]


def evaluate_volumes(
    prediction: str | Path, truth: str | Path, *, thresholds: Sequence[float] | None = None
) -> Evaluation:
    """Match the objects of two label volumes one to one, by the IoU of their voxels.

    Both are read plane by plane. Voxels that are -1 in the truth do not count. Label maps count
    as volumes of one plane.

    Args:
        prediction: a TIFF, or a store of Zarr, as :func:`congeal.segment_volume` writes them.
        truth: the same with the true labels.
        thresholds: IoU from which a predicted object counts as matched; None: .5 to .9.

    Raises:
        CongealError: one cannot be read or holds no labels, or the shapes differ.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.ones((2, 4, 5), np.uint16), photometric="minisblack")
        >>> evaluate_volumes(path, path).metrics["matching_ap@0.5"]
        1.0
    """
    started = now()
    table = _count(prediction, truth)
    found = match_contingency(table, THRESHOLDS if thresholds is None else thresholds)
    scores = {name: value for one in found for name, value in one.as_dict().items()}
    seconds = now() - started
    row = {"name": Path(prediction).name, **_counts(found), "seconds": seconds}
    first = found[0]
    counts = {"images": 1, "objects": first.n_true, "predicted": first.n_pred}
    return Evaluation(
        data=str(truth),
        split="all",
        model=str(prediction),
        protocol="matching",
        thresholds=tuple(one.threshold for one in found),
        metrics={**scores, **counts, "seconds_per_image": seconds},
        per_image=[row],
        headline=f"matching_ap@{first.threshold:g}",
    )


def _count(prediction: str | Path, truth: str | Path) -> Contingency:
    ours, theirs = open_label_volume(prediction), open_label_volume(truth)
    if ours.shape != theirs.shape:
        raise CongealError(
            f"expected label volumes of one shape, got {ours.shape} in {prediction} and "
            f"{theirs.shape} in {truth}"
        )
    parts = []
    for plane, true in zip(ours, theirs, strict=True):
        table = contingency(true, plane)
        parts.append((table.true_ids[table.rows], table.pred_ids[table.cols], table.counts))
    true_ids, pred_ids, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return count_contingency(true_ids, pred_ids, counts).objects()


def _counts(found: Sequence[Matching]) -> dict[str, float]:
    row: dict[str, float] = {}
    for one in found:
        at = f"@{one.threshold:g}"
        row |= {f"matching_ap{at}": one.ap, f"tp{at}": one.tp, f"fp{at}": one.fp, f"fn{at}": one.fn}
    return {**row, "true": found[0].n_true, "predicted": found[0].n_pred}
