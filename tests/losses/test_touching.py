from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.losses import touching

label_maps = hnp.arrays(
    np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(-1, 3)
)


def touching_slowly(labels, distance):
    marked = np.zeros(labels.shape, bool)
    for (y, x), label in np.ndenumerate(labels):
        window = labels[
            max(y - distance, 0) : y + distance + 1, max(x - distance, 0) : x + distance + 1
        ]
        marked[y, x] = label > 0 and bool(((window > 0) & (window != label)).any())
    return marked


@given(label_maps, st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_a_pixel_touches_when_another_object_is_within_the_distance(labels, distance):
    marked = touching(torch.from_numpy(labels)[None], distance)
    np.testing.assert_array_equal(marked[0].numpy(), touching_slowly(labels, distance))


def test_images_of_a_batch_do_not_touch_each_other():
    labels = torch.stack([torch.full((4, 4), 1), torch.full((4, 4), 2)])
    assert not touching(labels).any()


@pytest.mark.parametrize("other", [0, -1])
def test_background_and_void_are_not_touched(other):
    assert not touching(torch.tensor([[[1, 1, other, other]]])).any()


def test_labels_that_differ_only_past_single_precision_still_touch():
    assert touching(torch.tensor([[[2**24, 2**24 + 1]]])).all()
