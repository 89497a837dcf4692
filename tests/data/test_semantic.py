"""Classes of objects, and objects of classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.data.semantic import class_regions, object_classes


@given(st.integers(0, 2**32 - 1))
def test_an_object_has_the_class_of_most_of_its_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, semantic = rng.integers(-1, 5, (6, 7)), rng.integers(-1, 4, (6, 7))
    for k, found in enumerate(object_classes(labels, semantic), start=1):
        votes = [int(((labels == k) & (semantic == c)).sum()) for c in (1, 2, 3)]
        assert found == (1 + int(np.argmax(votes)) if any(votes) else -1)


@pytest.mark.parametrize("labels", [np.zeros((2, 2), int), np.zeros((0, 0), int)])
def test_without_objects_there_are_no_classes(labels: np.ndarray) -> None:
    assert object_classes(labels, labels + 1).shape == (0,)
    assert object_classes(labels + 1, labels).tolist() == ([-1] if labels.size else [])


@given(st.integers(0, 2**32 - 1))
def test_regions_give_the_classes_back(seed: int) -> None:
    semantic = np.random.default_rng(seed).integers(-1, 9, (4, 5))
    labels, classes = class_regions(semantic)
    np.testing.assert_array_equal(object_classes(labels, semantic), classes)
    np.testing.assert_array_equal(
        np.where(labels > 0, classes[labels - 1] if len(classes) else 0, labels), semantic
    )
