"""Prediction by several threads, of a model in training mode."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from congeal.errors import CongealError
from congeal.methods.rpe import RPE


def test_threads_segment_as_one_does_and_keep_the_moments_of_batch_norm():
    torch.manual_seed(0)
    model = RPE(dimensions=4, min_area=1).train()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(12)]
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    alone = [model.segment(image).labels for image in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda image: model.segment(image).labels, images * 2))
    for found, expected in zip(together, alone * 2, strict=True):
        assert np.array_equal(found, expected)
    assert model.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_with_a_value_that_is_not_finite_is_refused(value):
    image = np.zeros((40, 40), np.float32)
    image[::2] = value
    with pytest.raises(CongealError, match="finite values, got NaN or infinity"):
        RPE(dimensions=4).segment(image)
    image[:] = np.linspace(0, 1, 40)
    image[3, 4] = value  # one pixel, which no percentile shows
    with pytest.raises(CongealError, match="finite values, got NaN or infinity"):
        RPE(dimensions=4).segment(image)
