"""Drawn sets: what is promised about every scene, and that they never change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from congeal.data.drawn import COUNTS, KINDS, DrawnDataset, split_drawing
from congeal.data.drawn_kinds import DRAWN_KINDS
from congeal.data.registry import dataset_splits, open_dataset
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


FEWEST = {kind: 6 if kind == "specks" else MIN_VISIBLE for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_can_be_seen_and_numbers_have_no_gaps(kind: str) -> None:
    low, high = DRAWN_KINDS[kind].objects
    for sample in DrawnDataset(kind, "test", count=8):
        areas = np.bincount(sample.labels.ravel())
        assert areas[1:].min() >= FEWEST[kind]
        assert sample.labels.min() == 0
        assert areas[0] > 0
        assert sample.labels.max() <= high
        if kind not in ("discs", "digits"):  # there, what is hidden is left out
            assert sample.labels.max() >= low


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_objects_can_be_set(kind: str) -> None:
    for count in (1, 6):
        data = DrawnDataset(kind, "val", count=3, size=96, objects=count)
        assert [int(sample.labels.max()) for sample in data] == [count] * 3
    counts = {int(s.labels.max()) for s in DrawnDataset(kind, count=12, size=96, objects=(2, 3))}
    assert counts == {2, 3}


@pytest.mark.parametrize("kind", ["sticks", "discs", "shapes"])
def test_an_image_can_hold_many_objects(kind: str) -> None:
    sample = DrawnDataset(kind, "val", size=96, objects=64)[0]
    assert sample.labels.max() == 64
    assert np.bincount(sample.labels.ravel()).min() >= MIN_VISIBLE


def touching(data: DrawnDataset) -> int:
    """Pairs of neighbouring pixels of two different objects."""
    found = 0
    for sample in data:
        for one, other in (
            (sample.labels[1:], sample.labels[:-1]),
            (sample.labels[:, 1:], sample.labels[:, :-1]),
        ):
            found += int(((one != other) & (one > 0) & (other > 0)).sum())
    return found


@pytest.mark.parametrize("kind", ["sticks", "shapes", "rods", "rings"])
def test_objects_hide_each_other_as_much_as_is_allowed(kind: str) -> None:
    """A larger overlap lets objects meet more often; by 0 none hides any part of another."""
    met = [
        touching(DrawnDataset(kind, "val", count=4, size=128, objects=12, overlap=overlap))
        for overlap in (0.0, 0.3, 1.0)
    ]
    assert met[0] < 0.5 * met[1]
    assert met[0] < 0.3 * met[2]


@pytest.mark.parametrize("kind", ["rods", "rings", "specks", "cells"])
def test_usual_numbers_grow_with_the_area(kind: str) -> None:
    def total(size: int) -> int:
        return sum(int(sample.labels.max()) for sample in DrawnDataset(kind, count=6, size=size))

    assert 2.5 * total(96) < total(192) < 6 * total(96)


def test_shapes_have_classes_that_agree_with_their_map() -> None:
    for kind, names in (("shapes", 5), ("shapes:two", 3)):
        data = DrawnDataset(kind, "test", count=20)
        assert len(data.class_names) == names
        seen = set()
        for sample in data:
            assert sample.classes is not None
            assert sample.semantic is not None
            assert len(sample.classes) == sample.labels.max()
            np.testing.assert_array_equal(
                sample.semantic, np.concatenate([[0], sample.classes])[sample.labels]
            )
            seen |= set(sample.classes.tolist())
        assert seen == set(range(1, names))
    assert DrawnDataset("rods").class_names == ()


def test_the_name_tells_the_options_and_opens_the_same_images() -> None:
    data = DrawnDataset("shapes:two", "val", objects=(2, 3), overlap=0.25)
    assert data.name == "shapes:two:objects=2-3,overlap=0.25"
    again = open_dataset(data.name, "val")
    np.testing.assert_array_equal(again[1].image, data[1].image)
    assert DrawnDataset("sticks", objects=8).name == "sticks:objects=8"


def test_options_are_read_from_a_name() -> None:
    assert split_drawing("sticks") == ("sticks", {})
    assert split_drawing("shapes:two") == ("shapes:two", {})
    assert split_drawing("sticks:8") == split_drawing("sticks:objects=8")
    assert split_drawing("rods:4-9,size=64") == ("rods", {"objects": (4, 9), "size": 64})
    assert split_drawing("shapes:two:overlap=0") == ("shapes:two", {"overlap": 0.0})
    assert split_drawing("nuclei:histology") is None
    assert split_drawing("my/folder:8") is None


def test_names_with_options_open_like_others() -> None:
    data = open_dataset("discs:3,size=64", "val", count=2)
    assert [int(sample.labels.max()) for sample in data] == [3, 3]
    assert data[0].image.shape == (64, 64, 3)
    assert open_dataset("discs:3,size=64", "val", size=80)[0].image.shape == (80, 80, 3)
    assert dataset_splits("discs:3") == ("train", "val", "test")


@pytest.mark.parametrize(
    "spec", ["sticks:", "sticks:many", "sticks:3-", "sticks:colour=2", "shapes:tow", "rods:1.5"]
)
def test_options_that_cannot_be_read_are_refused(spec: str) -> None:
    with pytest.raises(CongealError, match="expected options as in") as caught:
        open_dataset(spec)
    assert "\n" not in str(caught.value)
    assert spec in str(caught.value)
    if spec == "shapes:tow":
        assert "or the name shapes:two" in str(caught.value)


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
    for kind, known in DRAWN_KINDS.items():
        assert DrawnDataset(kind, "val", size=50)[0].image.shape[:2] == (50, 50)
        sample = DrawnDataset(kind, "val")[0]
        assert all(known.sides[0] <= side <= known.sides[1] for side in sample.labels.shape)
        assert sample.image.dtype == np.uint8
        assert sample.image.ndim == 3


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
# The same of the other kinds, with five objects asked for.
AREAS_OF_FIVE = {
    "shapes": [7276, 580, 289, 253, 489, 329],
    "shapes:two": [7487, 271, 251, 272, 434, 501],
    "rods": [7539, 164, 395, 438, 383, 297],
    "worms": [7448, 349, 476, 211, 419, 313],
    "fibres": [8260, 188, 137, 150, 315, 166],
    "rings": [5689, 698, 429, 599, 934, 867],
    "cells": [2044, 988, 1522, 1877, 1513, 1272],
    "specks": [9022, 75, 13, 37, 49, 20],
    "rosettes": [8448, 255, 186, 140, 127, 60],
}


@pytest.mark.parametrize("kind", AREAS)
def test_drawings_are_the_same_for_ever(kind: str) -> None:
    labels = DrawnDataset(kind, "test", size=96)[0].labels
    # Sines differ in the last bit between processors, which may move a pixel of an outline.
    np.testing.assert_allclose(np.bincount(labels.ravel()), AREAS[kind], atol=2)


@pytest.mark.parametrize("kind", AREAS_OF_FIVE)
def test_drawings_of_five_objects_are_the_same_for_ever(kind: str) -> None:
    labels = DrawnDataset(kind, "test", size=96, objects=5)[0].labels
    np.testing.assert_allclose(np.bincount(labels.ravel()), AREAS_OF_FIVE[kind], atol=3)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kind": "stick"}, "did you mean 'sticks'"),
        ({"split": "valid"}, "did you mean 'val'"),
        ({"count": 0}, "got 0"),
        ({"size": 31}, "got 31"),
        ({"seed": -1}, "got -1"),
        ({"objects": 0}, "got 0 to 0"),
        ({"objects": (5, 4)}, "got 5 to 4"),
        ({"objects": 9999}, "got 9999"),
        ({"overlap": 1.1}, "overlap of 0 to 1, got 1.1"),
        ({"overlap": float("nan")}, "got nan"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(CongealError, match=reason):
        DrawnDataset(**settings)  # type: ignore[arg-type]
