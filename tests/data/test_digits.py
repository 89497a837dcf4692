"""Overlapping digits."""

from __future__ import annotations

import numpy as np
import pytest

from congeal.data.digits import draw_digits
from congeal.data.drawn import DrawnDataset
from congeal.errors import CongealError


def test_ink_is_brighter_than_the_ground() -> None:
    for sample in DrawnDataset("digits", "test", count=20):
        image = sample.image[..., 0].astype(float)
        assert image[sample.labels > 0].mean() > image[sample.labels == 0].mean() + 40


def test_digits_overlap() -> None:
    from scipy.ndimage import label

    touching = 0
    for sample in DrawnDataset("digits", "test", count=20):
        touching += label(sample.labels > 0)[1] < sample.labels.max()
    assert touching > 10


def test_splits_draw_from_different_writers_digits() -> None:
    images = [draw_digits(np.random.default_rng(0), 96, 96, s)[0] for s in ("train", "test")]
    assert not np.array_equal(*images)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(CongealError, match="did you mean 'test'"):
        draw_digits(np.random.default_rng(0), 96, 96, "tests")
