from __future__ import annotations

import json
import pickle
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat
from skimage.metrics import variation_of_information

from congeal.errors import CongealError
from congeal.metrics import (
    BsdsRegionMetric,
    merge_all,
    region_scores,
    segments_from_contours,
)

GOLDEN = Path(__file__).parent / "golden" / "bsds_region"
CASES = np.load(GOLDEN / "cases.npz")
RESULT = json.loads((GOLDEN / "result.json").read_text())
THRESHOLDS = (1, 2, 3, 4, 5)


def golden_sides(k):
    def listed(kind):
        names = sorted(name for name in CASES.files if name.startswith(f"{kind}_{k}_"))
        return [CASES[name] for name in names]

    return sides(listed("gt"), listed("seg"))


def close(value):
    return pytest.approx(value, rel=6e-6)  # printed with six digits


partitions = hnp.arrays(np.int64, (4, 5), elements=st.integers(1, 4))


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_scores_of_one_image_are_the_official_ones(k):
    segmentations, annotators = golden_sides(k).values()
    official = RESULT["per_image"][k]["cover_thresh_cntR_sumR_cntP_sumP"]
    for t, segmentation in enumerate(segmentations):
        found = region_scores(prediction=segmentation, truth=annotators)
        pri, voi = RESULT["RI_VOI_full_precision"][k][t]
        assert found.pri == pytest.approx(pri, rel=1e-9)
        assert found.voi == pytest.approx(voi, rel=1e-9)
        assert [found.covered.sum(), found.pixels] == [close(v) for v in official[t][1:3]]
        iou = CASES[f"iou_segments_by_gt_{k}_{t}"].max(axis=0)
        areas = np.concatenate([np.unique(g, return_counts=True)[1] for g in annotators])
        np.testing.assert_allclose(found.covered / areas, iou, atol=1e-9)


def test_scores_of_all_images_are_the_official_ones():
    metric = BsdsRegionMetric(THRESHOLDS)
    for k in range(4):
        metric.update(**golden_sides(k))
    found = metric.compute()
    names = {
        "covering": RESULT["eval_cover"] | {"threshold": RESULT["eval_cover"]["T"]},
        "pri": {n[3:]: v for n, v in RESULT["eval_RI_VOI"].items() if n.startswith("RI_")},
        "voi": {n[4:]: v for n, v in RESULT["eval_RI_VOI"].items() if n.startswith("VOI_")},
    }
    for name, official in names.items():
        assert found[f"{name}_ods"] == close(official["ODS"])
        assert found[f"{name}_ois"] == close(official["OIS"])
        assert found[f"{name}_threshold"] == official["T"]
    assert found["covering_best"] == close(RESULT["eval_cover"]["best"])
    assert metric.curves()["threshold"] == list(THRESHOLDS)


def bench_sides(folder, name, kind):
    truth = loadmat(folder / "groundTruth" / f"{name}.mat")["groundTruth"][0]
    annotators = [one["Segmentation"][0, 0] for one in truth]
    if kind == "segs":
        return sides(annotators, list(loadmat(folder / "segs" / f"{name}.mat")["segs"].ravel()))
    contours = loadmat(folder / "ucm2" / f"{name}.mat")["ucm2"]
    return sides(annotators, list(segments_from_contours(contours, np.arange(1, 6) / 6)))


@pytest.mark.parametrize(("kind", "test"), [("segs", "test_4"), ("ucm2", "test_1")])
def test_the_self_test_comes_out_as_printed(pack, kind, test):
    folder = pack("bsds_bench") / "mini5"
    metric = BsdsRegionMetric(THRESHOLDS if kind == "segs" else np.arange(1, 6) / 6)
    for path in sorted((folder / "segs").glob("*.mat")):
        metric.update(**bench_sides(folder, path.stem, kind))
    found = metric.compute()
    cover = np.loadtxt(folder / test / "eval_cover.txt")
    names = ("threshold", "ods", "ois", "best")
    assert [found[f"covering_{n}"] for n in names] == [close(v) for v in cover]
    rand = np.loadtxt(folder / test / "eval_RI_VOI.txt")
    ours = [found[f"{m}_{n}"] for m in ("pri", "voi") for n in names[:3]]
    assert ours == [close(v) for v in rand]


@settings(deadline=None)
@given(partitions, st.lists(partitions, min_size=1, max_size=3))
def test_scores_follow_the_definitions_pixel_by_pixel(segmentation, annotators):
    found = region_scores(prediction=segmentation, truth=annotators)
    agree, covered, pixels, voi = [], 0.0, 0, []
    for truth in annotators:
        a, b = truth.ravel(), segmentation.ravel()
        pairs = list(combinations(range(len(a)), 2))
        agree.append(np.mean([(a[i] == a[j]) == (b[i] == b[j]) for i, j in pairs]))
        voi.append(variation_of_information(truth, segmentation).sum())
        for region in np.unique(a):
            inside = a == region
            others = [b == s for s in np.unique(b)]
            best = max((inside & o).sum() / (inside | o).sum() for o in others)
            covered, pixels = covered + best * inside.sum(), pixels + inside.sum()
    assert found.pri == pytest.approx(np.mean(agree))
    assert found.voi == pytest.approx(np.mean(voi), abs=1e-12)
    assert found.covering == pytest.approx(covered / pixels)


@given(partitions, partitions, st.permutations([1, 2, 3, 4]), st.integers(1, 10**9))
@settings(deadline=None)
def test_relabelling_and_padding_by_void_change_nothing(segmentation, truth, order, factor):
    renamed = np.array([0, *order]) * factor
    expected = region_scores(prediction=segmentation, truth=[truth])
    padded = np.pad(truth, 2, constant_values=-1), np.pad(segmentation, 2, constant_values=9)
    for found in (
        region_scores(prediction=renamed[segmentation], truth=[truth]),
        region_scores(prediction=segmentation, truth=[renamed[truth]]),
        region_scores(prediction=padded[1], truth=[padded[0]]),
    ):
        assert found.pri == pytest.approx(expected.pri)
        assert found.voi == pytest.approx(expected.voi, abs=1e-12)
        assert found.covering == pytest.approx(expected.covering)


def test_equal_partitions_are_perfect_and_void_everywhere_has_nothing_to_cover():
    seg = np.array([[1, 2], [3, 3]])
    same = region_scores(prediction=seg, truth=[seg])
    assert (same.pri, same.voi, same.covering) == (1, 0, 1)
    void = region_scores(prediction=seg, truth=[np.full((2, 2), -1)])
    assert (void.pri, void.voi, void.covering) == (1, 0, 0)
    assert region_scores(prediction=[[5]], truth=[[[8]]]).pri == 1


@pytest.mark.parametrize("split", [0, 2, 4])
def test_merged_metrics_score_as_one_that_saw_everything(split):
    whole, left, right = (BsdsRegionMetric(THRESHOLDS) for _ in range(3))
    for k in range(4):
        whole.update(**golden_sides(k))
        (left if k < split else right).update(**golden_sides(k))
    merged = merge_all(pickle.loads(pickle.dumps([left, right])))
    assert merged.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_scores_without_any_image_are_nan():
    scores = BsdsRegionMetric([1]).compute()
    assert scores.pop("images") == 0
    assert all(np.isnan(v) for n, v in scores.items() if not n.endswith("threshold"))


def test_cutting_a_contour_map_at_its_top_leaves_one_region():
    rng = np.random.default_rng(0)
    contours = np.zeros((9, 11))
    contours[::2] = contours[:, ::2] = 1
    contours *= rng.random(contours.shape)
    low, high = segments_from_contours(contours, [0, 1])
    assert low.shape == (4, 5)
    assert len(np.unique(low)) == low.size
    assert (high == 1).all()


SEG = np.ones((3, 4), int)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: region_scores(prediction=SEG, truth=[]), "at least one annotator"),
        (lambda: region_scores(prediction=SEG, truth=[SEG.T]), "of the same"),
        (lambda: region_scores(prediction=SEG * 0, truth=[SEG]), "segmentation in a region"),
        (lambda: region_scores(prediction=-SEG, truth=[SEG]), "segmentation in a region"),
        (lambda: region_scores(prediction=SEG, truth=[SEG * 0]), "annotation in a region"),
        (lambda: region_scores(prediction=SEG * np.nan, truth=[SEG]), "integer labels"),
        (lambda: BsdsRegionMetric([]), "at least one threshold"),
        (lambda: BsdsRegionMetric([1, 2]).update(prediction=[SEG], truth=[SEG]), "2 segmentations"),
        (lambda: BsdsRegionMetric([1]).merge(BsdsRegionMetric([2])), "same thresholds"),
        (lambda: list(segments_from_contours(np.zeros((4, 5)), [1])), "shape (4, 5)"),
        (lambda: list(segments_from_contours(np.full((3, 3), np.nan), [1])), "without NaN"),
    ],
)
def test_bad_input_is_told_in_one_line(call, told):
    with pytest.raises(CongealError) as caught:
        call()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
