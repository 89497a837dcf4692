"""Run lengths and polygons against pycocotools."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from congeal.data.runs import paint_runs, parse_counts, polygon_runs, rle_runs
from congeal.errors import CongealError

masks = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 1)
)


def painted(runs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    labels = np.zeros(shape, np.int64)
    paint_runs(labels, runs, 1)
    return labels


@given(masks)
def test_compressed_runs_paint_what_pycocotools_encoded(mask: np.ndarray) -> None:
    rle = coco_mask.encode(np.asfortranarray(mask))
    height, width = mask.shape
    np.testing.assert_array_equal(painted(rle_runs(rle, height, width), mask.shape), mask)
    as_text = {"size": [height, width], "counts": rle["counts"].decode()}
    np.testing.assert_array_equal(painted(rle_runs(as_text, height, width), mask.shape), mask)


def test_long_runs_are_decoded() -> None:
    mask = np.zeros((900, 1100), np.uint8)
    mask[3:800, 5:1000] = 1
    rle = coco_mask.encode(np.asfortranarray(mask))
    np.testing.assert_array_equal(painted(rle_runs(rle, 900, 1100), mask.shape), mask)


coordinate = st.floats(-30, 60).map(lambda x: round(x, 2))
polygons = st.lists(
    st.lists(coordinate, min_size=6, max_size=14).filter(lambda p: len(p) % 2 == 0),
    min_size=1,
    max_size=3,
)


@given(polygons)
def test_polygons_fill_as_pycocotools_does(points: list[list[float]]) -> None:
    joined = coco_mask.merge(coco_mask.frPyObjects(points, 24, 31))
    expected = coco_mask.decode(joined)
    np.testing.assert_array_equal(painted(polygon_runs(points, 24, 31), (24, 31)), expected)


def test_polygons_without_area_are_empty() -> None:
    for points in ([], [[]], [[1, 2]], [[1, 2, 3, 4]]):
        assert not painted(polygon_runs(points, 5, 6), (5, 6)).any()


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([[1, 2, 3, 4, 5, 6, 7]], "7 numbers"),
        ([[1, 2, 3, 4, 5, "6"]], "list of numbers"),
        ([1, 2, 3, 4, 5, 6], "list of numbers"),
        ([[0, 0, 1e9, 0, 5, 5]], "far outside"),
        ([[0, 0, float("nan"), 0, 5, 5]], "far outside"),
    ],
)
def test_broken_polygons_are_refused(points: list[object], reason: str) -> None:
    with pytest.raises(CongealError, match=reason):
        polygon_runs(points, 10, 10)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [3, 2], "counts": [6]}, r"its size is \[3, 2\]"),
        ({"size": [2, 3], "counts": [3, 4]}, "cover 7 pixels"),
        ({"size": [2, 3], "counts": [-1, 7]}, "not integers of at least 0"),
        ({"size": [2, 3], "counts": [1.5, 4.5]}, "not integers of at least 0"),
        ({"size": [2, 3]}, "not integers of at least 0"),
        ({"size": [2, 3], "counts": "Q"}, "truncated"),
        ({"size": [2, 3], "counts": "1 2"}, "invalid character"),
        ({"size": [2, 3], "counts": "999999"}, "cover"),
    ],
)
def test_broken_runs_are_refused(segmentation: dict[str, object], reason: str) -> None:
    with pytest.raises(CongealError, match=reason):
        rle_runs(segmentation, 2, 3)


@given(st.text(max_size=40))
def test_any_text_decodes_or_is_refused(text: str) -> None:
    with suppress(CongealError):
        assert all(isinstance(number, int) for number in parse_counts(text))
