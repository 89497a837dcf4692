"""Sizes, widths and brightness of the objects of training images."""

import numpy as np
import pytest

from congeal.data import DrawnDataset
from congeal.data.measures import evenly_spaced_samples, survey_training
from congeal.data.sample import Dataset, Sample


class Shown(Dataset):
    """Label maps, shown as they are."""

    name, split = "shown", "train"

    def __init__(self, *labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        labels = self.labels[index]
        return Sample(f"{index}", (labels > 0).astype(np.uint8)[..., None], labels)

    def names(self):
        return [str(index) for index in range(len(self))]


def measured(*labels):
    return survey_training(Shown(*labels), "instances")


@pytest.mark.parametrize("degrees", range(0, 180, 15))
@pytest.mark.parametrize("breadth", [2, 6, 40])
def test_how_broad_a_strip_is_depends_little_on_its_direction(breadth, degrees):
    y, x = np.mgrid[-300:300, -300:300] + 0.5
    turn = np.deg2rad(degrees)
    across, along = x * np.sin(turn) - y * np.cos(turn), x * np.cos(turn) + y * np.sin(turn)
    strip = (abs(across) < breadth / 2) & (abs(along) < 280)
    labels = 2 * strip.astype(np.int64)
    labels[:9, :9] = 1
    square, found = measured(labels).images[0].widths
    assert found == pytest.approx(breadth, rel=0.3)
    assert square == pytest.approx(9 / 2, rel=0.3)


def test_areas_and_extents_are_those_of_the_objects():
    labels = np.zeros((20, 30), int)
    labels[2:6, 3:15], labels[9:19, 7:10] = 4, 9
    labels[10, 20] = -1
    (one,) = measured(labels).images
    assert one.size == (20, 30)
    assert one.areas.tolist() == [48, 30]
    assert one.extents.tolist() == [12, 10]
    assert one.relative_areas.tolist() == pytest.approx([48 / 39, 30 / 39])


def test_what_the_edge_cuts_counts_for_no_relative_area():
    labels = np.zeros((20, 30), int)
    labels[0:4, 3:15], labels[9:18, 7:10] = 1, 2
    (one,) = measured(labels).images
    assert len(one.areas) == 2
    assert one.relative_areas.tolist() == pytest.approx([27 / 37.5])


def test_objects_of_all_images_are_pooled_and_an_empty_image_adds_none():
    labels = np.zeros((20, 30), int)
    labels[2:6, 3:15] = 1
    found = measured(labels, np.zeros((9, 9), int), 7 * labels)
    assert found.count == len(found.images) == 3
    assert found.pooled("areas").tolist() == [48, 48]


def test_images_looked_at_are_spread_evenly():
    data = DrawnDataset("sticks", count=9, size=64)
    seen = [sample.name for sample in evenly_spaced_samples(data, 3)]
    assert seen == [data.names()[place] for place in (0, 4, 8)]
    survey = survey_training(data, "instances", 3)
    assert (len(survey.images), survey.count, survey.task) == (3, 9, "instances")


def test_what_another_crosses_lies_in_parts():
    labels = np.zeros((20, 40), int)
    labels[8:12, :] = 1
    labels[:, 10:14] = 2  # on top, so 10 and 26 columns are left of the other
    labels[0, 39] = 3
    (one,) = measured(labels).images
    assert one.connected_fractions.tolist() == pytest.approx([26 / 36, 1, 1])


def test_a_hole_is_what_an_object_surrounds_whatever_lies_there():
    labels = np.zeros((20, 40), int)
    labels[2:12, 2:12] = 1
    labels[4:10, 4:10] = 0  # a frame of two pixels
    labels[6:8, 6:8] = 2
    labels[2:12, 20:30] = 3
    labels[4:10, 20:24] = 0  # a notch is no hole
    (one,) = measured(labels).images
    assert one.holes.tolist() == pytest.approx([36 / 64, 0, 0])
