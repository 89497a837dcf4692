"""Intervals over seeds and over test images."""

import numpy as np
import pytest
from scipy import stats

from congeal.experiments.intervals import half_width, half_width_over_images


def test_the_interval_over_seeds_is_that_of_student():
    values = [0.4, 0.5, 0.55]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2)


def test_the_interval_over_images_is_that_of_scipy_s_bootstrap():
    counts = np.random.default_rng(0).integers(0, 9, (40, 3))

    def ap(tp, fp, fn, axis=-1):
        return tp.sum(axis) / (tp + fp + fn).sum(axis)

    found = stats.bootstrap(
        tuple(counts.T), ap, paired=True, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert half_width_over_images(counts) == pytest.approx((found.high - found.low) / 2, rel=0.1)


def test_images_without_objects_have_no_interval():
    assert half_width_over_images([(0, 0, 0)] * 3) == 0
