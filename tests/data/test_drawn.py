"""Drawn sets: what is promised about every scene, and that they never change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from congeal.data.drawn import COUNTS, KINDS, DrawnDataset
from congeal.data.scenes import MIN_VISIBLE
from congeal.errors import CongealError


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_functions_of_seed_split_and_index_only(kind: str) -> None:
    one, other = DrawnDataset(kind, "val"), DrawnDataset(kind, "val", count=7)
    other[3]
    for index in (5, 0):
        np.testing.assert_array_equal(one[index].image, other[index].image)
        np.testing.assert_array_equal(one[index].labels, other[index].labels)


@pytest.mark.parametrize("kind", KINDS)
def test_splits_and_seeds_differ(kind: str) -> None:
    sets = [
        DrawnDataset(kind, "train", size=96),
        DrawnDataset(kind, "test", size=96),
        DrawnDataset(kind, "train", size=96, seed=1),
    ]
    images = [data[0].image for data in sets]
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_can_be_seen(kind: str) -> None:
    for sample in DrawnDataset(kind, "test", count=30):
        areas = np.bincount(sample.labels.ravel())
        assert areas[1:].min() >= MIN_VISIBLE
        assert sample.labels.min() == 0
        assert areas[0] > 0


def test_sticks_are_as_the_issue_asks() -> None:
    counts = set()
    for sample in DrawnDataset("sticks", "train", count=60):
        assert sample.image.dtype == np.uint8
        assert sample.image.shape[2] == 3
        assert all(96 <= side <= 128 for side in sample.labels.shape)
        counts.add(int(sample.labels.max()))
    assert counts == {4, 5, 6, 7, 8, 9}


def test_sticks_cross_so_that_connected_components_fail() -> None:
    groups, sticks = 0, 0
    for sample in DrawnDataset("sticks", "test"):
        groups += label(sample.labels > 0)[1]
        sticks += int(sample.labels.max())
    assert groups < 0.4 * sticks


def test_sticks_are_shaded_across_their_width_and_colour_does_not_tell_them_apart() -> None:
    inside, between = [], []
    for sample in DrawnDataset("sticks", "test", count=30):
        image = sample.image.astype(float)
        colours = [image[sample.labels == k] for k in range(1, sample.labels.max() + 1)]
        inside.append(np.mean([c.std(0).mean() for c in colours]))
        between.append(np.std([c.mean(0) for c in colours], axis=0).mean())
    assert np.mean(between) < np.mean(inside)


def test_sticks_differ_from_the_ground_in_brightness_as_a_rule() -> None:
    gaps = []
    for sample in DrawnDataset("sticks", "test", count=30):
        image = sample.image.astype(float).mean(-1)
        gaps.append(np.median(image[sample.labels > 0]) - np.median(image[sample.labels == 0]))
    assert np.median(np.abs(gaps)) > 25
    assert min(gaps) < 0 < max(gaps)


def test_sizes_are_taken() -> None:
    assert DrawnDataset("sticks", "val", size=200)[0].image.shape == (200, 200, 3)
    assert DrawnDataset("digits", "val", size=64)[0].image.shape == (64, 64, 1)


def test_counts_are_as_documented_and_all_joins_the_splits() -> None:
    for split, count in COUNTS.items():
        assert len(DrawnDataset("discs", split)) == count
    every = DrawnDataset("discs", "all")
    assert len(every) == sum(COUNTS.values())
    np.testing.assert_array_equal(every[512].image, DrawnDataset("discs", "val")[0].image)


def test_a_dataset_iterates_and_ends() -> None:
    data = DrawnDataset("discs", "val", count=3)
    assert [sample.name for sample in data] == data.names()
    with pytest.raises(IndexError):
        data[3]


# Visible pixels of the ground and of each object in the first test image of 96 x 96 pixels.
AREAS = {
    "sticks": [6768, 518, 539, 782, 609],
    "discs": [6444, 134, 510, 845, 453, 159, 671],
    "digits": [7477, 129, 420, 229, 188, 263, 510],
}


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_are_the_same_for_ever(kind: str) -> None:
    labels = DrawnDataset(kind, "test", size=96)[0].labels
    # Sines differ in the last bit between processors, which may move a pixel of an outline.
    np.testing.assert_allclose(np.bincount(labels.ravel()), AREAS[kind], atol=2)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kind": "stick"}, "did you mean 'sticks'"),
        ({"split": "valid"}, "did you mean 'val'"),
        ({"count": 0}, "got 0"),
        ({"size": 31}, "got 31"),
        ({"seed": -1}, "got -1"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(CongealError, match=reason):
        DrawnDataset(**settings)  # type: ignore[arg-type]
