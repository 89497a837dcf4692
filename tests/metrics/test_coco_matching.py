from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools.cocoeval import COCOeval

from congeal.metrics import CocoMetric, Objects
from congeal.metrics.coco_matching import match_detections

THRESHOLDS = np.linspace(0.5, 0.95, 10)

shapes = st.tuples(st.integers(0, 6), st.integers(0, 5))


def matched_slowly(iou, threshold, ignored, crowd):
    """Detection after detection, object after object, at one threshold."""
    owner = {}
    found = []
    for row in iou:
        able = [
            g
            for g in range(len(row))
            if row[g] >= min(threshold, 1 - 1e-10) and (g not in owner or crowd[g])
        ]
        able = [g for g in able if not ignored[g]] or able
        best = max(able, key=lambda g: (row[g], g), default=-1)
        found.append(best)
        owner[best] = True
    return found


@given(st.data())
def test_all_thresholds_together_match_as_each_by_itself(data):
    n, g = data.draw(shapes)
    values = st.sampled_from([0, 0.5, 0.55, 0.6, 0.7, 0.95, 1])
    iou = data.draw(hnp.arrays(np.float64, (n, g), elements=values))
    ignored, crowd = (data.draw(hnp.arrays(np.bool_, g)) for _ in range(2))
    crowd &= ignored
    found, back = match_detections(iou, THRESHOLDS, ignored, crowd)
    for t, threshold in enumerate(THRESHOLDS):
        assert found[t].tolist() == matched_slowly(iou, threshold, ignored, crowd)
        for k in np.flatnonzero(back[t] >= 0):
            assert found[t, back[t, k]] == k


def drawn(rng, count, scored):
    """Boxes on a coarse grid, so that equal masks, scores and IoU occur."""
    masks = np.zeros((count, 48, 48), bool)
    for mask in masks:
        top, left = rng.integers(0, 6, 2) * 6
        mask[top : top + 6 * rng.integers(1, 8), left : left + 6 * rng.integers(1, 8)] = True
    return Objects.from_masks(
        masks,
        rng.integers(1, 3, count),
        rng.integers(0, 5, count) / 5 if scored else None,
        crowd=None if scored else rng.random(count) < 0.2,
    )


@pytest.mark.parametrize("class_agnostic", [False, True])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_curves_are_those_of_the_official_matching(class_agnostic, seed):
    rng = np.random.default_rng(seed)
    metric = CocoMetric((1, 2), class_agnostic=class_agnostic, max_detections=(1, 5, 20))
    for image in range(4):
        metric.update(
            prediction=drawn(rng, 12, True), truth=drawn(rng, image * 3, False), image=image
        )
    ours = metric.evaluation()
    theirs = COCOeval(ours.cocoGt, ours.cocoDt, "segm")
    theirs.params.useCats, theirs.params.maxDets = ours.params.useCats, ours.params.maxDets
    with redirect_stdout(io.StringIO()):
        theirs.evaluate()
        theirs.accumulate()
    for axis in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(ours.eval[axis], theirs.eval[axis])
    for one, two in zip(ours.evalImgs, theirs.evalImgs, strict=True):
        assert (one is None) == (two is None)
        for key in () if one is None else ("dtMatches", "gtMatches", "dtIgnore", "gtIgnore"):
            np.testing.assert_array_equal(one[key], two[key])
