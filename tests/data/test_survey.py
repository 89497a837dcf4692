"""Counting what a dataset holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from congeal.data.drawn import DrawnDataset
from congeal.data.sample import Dataset, ObjectMask, Sample
from congeal.data.survey import count_pieces, survey


class One(Dataset):
    """A dataset of one sample."""

    def __init__(self, sample: Sample) -> None:
        self.name, self.split, self.sample = "one", "all", sample

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return [self.sample][index]

    def names(self) -> list[str]:
        return [self.sample.name]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_pieces_are_those_of_each_object_alone(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(-1, 4, (9, 8))
    numbers, areas, pieces, specks = count_pieces(labels)
    assert numbers.tolist() == np.unique(labels[labels > 0]).tolist()
    for k, area, count, stray in zip(numbers, areas, pieces, specks, strict=True):
        parts, found = label(labels == k, np.ones((3, 3)))
        sizes = [int((parts == i + 1).sum()) for i in range(found)]
        assert (area, count) == (sum(sizes), found)
        around = np.pad(labels, 1, constant_values=-1)
        lonely = 0
        for i in range(found):
            spots = zip(*np.nonzero(parts == i + 1), strict=True)
            beside = {int(v) for y, x in spots for v in around[y : y + 3, x : x + 3].flat}
            lonely += sizes[i] < 4 <= max(sizes) and beside <= {0, int(k)}
        assert stray == lonely


def test_an_image_without_objects_has_no_pieces() -> None:
    assert [len(found) for found in count_pieces(np.zeros((3, 3), int))] == [0, 0, 0, 0]


def test_images_are_spread_evenly_and_counted() -> None:
    data = DrawnDataset("discs", "val", size=64)
    found = survey(data, limit=5)
    chosen = [data[i] for i in (0, 8, 16, 23, 31)]
    counts = sorted(int(sample.labels.max()) for sample in chosen)
    assert (found.images, found.images_read, list(found.counts)) == (32, 5, counts)
    assert (found.sizes, found.types) == ({"64 x 64 x 3": 5}, ("uint8",))
    assert sum(found.areas) == sum(int((sample.labels > 0).sum()) for sample in chosen)
    assert sum(number for *_, number in found.histogram()) == sum(counts)
    assert all(high == 4 * low - 1 for low, high, _ in found.histogram())
    smallest = found.histogram()[0]
    assert smallest[0] <= found.areas[0] <= smallest[1]


def test_hidden_parts_count_where_they_are_known() -> None:
    labels = np.array([[1, 1, 2, -1]])
    whole = ObjectMask({"size": [1, 4], "counts": ""}, 1, 3.0)
    crowd = ObjectMask({"size": [1, 4], "counts": ""}, 1, 9.0, crowd=True)
    sample = Sample("a", np.zeros((1, 4, 1), np.uint8), labels, masks=(whole, whole, crowd))
    found = survey(One(sample))
    assert (found.areas, found.counts, found.void) == ((3, 3), (2,), 0.25)


def test_json_holds_plain_numbers() -> None:
    sample = Sample("a", np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4), np.int64))
    told = survey(One(sample)).to_dict()
    assert told["size"] == "4 x 4 x 1"
    assert told["object_area"] is None
    assert told["objects_per_image"] == {"min": 0, "median": 0.0, "mean": 0.0, "max": 0}
