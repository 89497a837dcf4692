from __future__ import annotations

import json
import math
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics import SurfaceMetric, merge_all, set_hausdorff, surface_scores

GOLDEN = Path(__file__).parent / "golden" / "hausdorff"
CASES = np.load(GOLDEN / "cases.npz")
RESULT = json.loads((GOLDEN / "result.json").read_text())
PAIRS = list(zip(CASES["gt"], CASES["pred"], strict=True))
NAMED = {
    "medpy_hd": "hd",
    "medpy_hd95": "hd_pooled",
    "medpy_assd": "assd",
    "medpy_asd_pred_to_gt": "asd_pred",
    "deepmind_hd95": "hd_contour",
    "deepmind_nsd_1": "nsd",
}

masks = hnp.arrays(np.bool_, (5, 6), elements=st.booleans())


@pytest.mark.parametrize("k", range(len(PAIRS)))
def test_distances_are_those_of_the_libraries(k):
    official = RESULT[k]
    if not official:  # one mask is empty
        return
    found = surface_scores(**sides(*PAIRS[k]))
    for theirs, ours in NAMED.items():
        assert getattr(found, ours) == pytest.approx(official[theirs], abs=1e-9), theirs
    assert set_hausdorff(**sides(*PAIRS[k])) == pytest.approx(official["skimage_hd_sets"], abs=1e-9)
    # float32 there
    assert found.hd == pytest.approx(official["monai_hd"], rel=1e-6)
    assert found.hd_directed == pytest.approx(official["monai_hd95"], rel=1e-6)
    farthest = surface_scores(**sides(*PAIRS[k]), percentile=100)
    assert farthest.hd_contour == pytest.approx(official["deepmind_hd100"], abs=1e-9)
    assert farthest.hd_pooled == farthest.hd_directed == farthest.hd


def surface_points(mask):
    padded = np.pad(mask, 1)
    points = []
    for place in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (0, 2):
                near = place + 1
                near[axis] = place[axis] + step
                if not padded[tuple(near)]:
                    points.append(tuple(place))
    return np.array(sorted(set(points)))


@settings(deadline=None, max_examples=50)
@given(masks, masks, st.sampled_from([(1.0, 1.0), (2.0, 0.5)]))
def test_distances_follow_their_definitions_pixel_by_pixel(true, pred, spacing):
    found = surface_scores(prediction=pred, truth=true, spacing=spacing, tolerance=1.2)
    if not (true.any() and pred.any()):
        return
    a, b = surface_points(true) * spacing, surface_points(pred) * spacing
    gaps = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    to_pred, to_true = gaps.min(1), gaps.min(0)
    assert found.hd == pytest.approx(max(to_pred.max(), to_true.max()))
    assert found.assd == pytest.approx(np.r_[to_pred, to_true].mean())
    assert found.nsd_pixels == pytest.approx((np.r_[to_pred, to_true] <= 1.2).mean())


@settings(deadline=None, max_examples=30)
@given(masks, masks)
def test_padding_and_transposing_change_nothing(true, pred):
    expected = asdict(surface_scores(prediction=pred, truth=true))
    for moved in ((np.pad(true, 3), np.pad(pred, 3)), (true.T, pred.T)):
        assert asdict(surface_scores(**sides(*moved))) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(masks, masks)
def test_swapping_the_masks_swaps_the_directions(true, pred):
    there, back = (
        surface_scores(prediction=pred, truth=true),
        surface_scores(prediction=true, truth=pred),
    )
    assert there.asd_pred == pytest.approx(back.asd_true)
    for name in ("hd", "hd_pooled", "hd_directed", "hd_contour", "assd", "nsd"):
        assert getattr(there, name) == pytest.approx(getattr(back, name))


def test_spacing_scales_distances():
    one = surface_scores(**sides(*PAIRS[0]), tolerance=2)
    two = surface_scores(**sides(*PAIRS[0]), spacing=(2, 2), tolerance=4)
    for name in ("hd", "hd_pooled", "hd_contour", "assd"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name))
    assert (two.nsd, two.nsd_pixels) == pytest.approx((one.nsd, one.nsd_pixels))


def test_volumes_have_pixel_distances_and_no_contour():
    true = np.zeros((6, 6, 6), bool)
    true[1:4, 1:4, 1:4] = True
    found = surface_scores(prediction=np.roll(true, 2, axis=0), truth=true)
    assert found.hd == 2
    assert math.isnan(found.hd_contour)
    assert math.isnan(found.nsd)
    assert 0 < found.nsd_pixels < 1


EMPTY, FULL = np.zeros((4, 5), bool), np.ones((4, 5), bool)


def test_empty_masks_are_nothing_apart_or_infinitely_far():
    both, one = (
        surface_scores(prediction=EMPTY, truth=EMPTY),
        surface_scores(prediction=EMPTY, truth=FULL),
    )
    assert (both.hd, both.assd, both.hd_contour, both.nsd) == (0, 0, 0, 1)
    assert (one.hd, one.assd, one.hd_contour, one.nsd) == (math.inf, math.inf, math.inf, 0)
    assert set_hausdorff(prediction=EMPTY, truth=EMPTY) == 0
    assert set_hausdorff(prediction=FULL, truth=EMPTY) == math.inf


def test_void_everywhere_leaves_two_empty_masks():
    assert surface_scores(prediction=EMPTY, truth=FULL, void=FULL) == surface_scores(
        prediction=EMPTY, truth=EMPTY
    )


@pytest.mark.parametrize("split", [0, 5, len(PAIRS)])
def test_merged_metrics_score_as_one_that_saw_everything(split):
    whole, left, right = (SurfaceMetric() for _ in range(3))
    for rank, pair in enumerate(PAIRS):
        whole.update(**sides(*pair))
        (left if rank < split else right).update(**sides(*pair))
    merged = merge_all(pickle.loads(pickle.dumps([left, right])))
    assert merged.compute() == pytest.approx(whole.compute(), abs=1e-12, nan_ok=True)


def test_pairs_with_one_empty_mask_are_counted_apart():
    metric = SurfaceMetric()
    metric.update(prediction=EMPTY, truth=FULL)
    metric.update(prediction=FULL, truth=FULL)
    scores = metric.compute()
    assert (scores["hd"], scores["nsd"], scores["pairs"], scores["one_empty"]) == (0, 0.5, 2, 1)


def test_a_metric_that_saw_nothing_knows_no_distance():
    assert math.isnan(SurfaceMetric().compute()["hd"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prediction": FULL.T}, "of the same"),
        ({"prediction": FULL * 1}, "boolean masks"),
        ({"truth": FULL * np.nan}, "boolean masks"),
        ({"void": FULL[:2]}, "of the same"),
        ({"spacing": (1,)}, "2 positive spacings"),
        ({"spacing": (1, 0)}, "2 positive spacings"),
        ({"tolerance": -1}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"percentile": 101}, "percentile"),
    ],
)
def test_bad_input_is_told_in_one_line(change, told):
    with pytest.raises(CongealError, match=told) as caught:
        surface_scores(**({"truth": FULL, "prediction": FULL} | change))
    assert "\n" not in str(caught.value)


def test_metrics_of_other_settings_do_not_merge():
    with pytest.raises(CongealError, match="same settings"):
        SurfaceMetric(1).merge(SurfaceMetric(2))
