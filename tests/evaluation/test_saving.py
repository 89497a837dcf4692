"""Scores of labels of any numbers, and a folder that has scores and page or neither."""

from dataclasses import replace

import numpy as np
import pytest

from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.evaluation import evaluate
from congeal.segmentation import Segmentation


class One(Dataset):
    """A single sample."""

    name, split = "one", "test"

    def __init__(self, sample):
        self.sample = sample

    def __len__(self):
        return 1

    def names(self):
        return [self.sample.name]

    def __getitem__(self, index):
        return self.sample


class Knows:
    """Gives the true objects."""

    def __init__(self, labels):
        self.labels = labels

    def segment(self, image):
        return Segmentation.from_labels(self.labels)


def numbered(world, first):
    sample = world("plain", count=1)[0]
    labels = np.where(sample.labels > 0, sample.labels + (first - 1), sample.labels)
    return One(replace(sample, labels=labels))


@pytest.mark.parametrize(
    "protocol",
    ["matching", "coco", "apr", "proposals", "seg", "aji", "davis", "boundary-iou", "cvppp", "voi"],
)
def test_scores_do_not_depend_on_the_numbers_of_labels(world, protocol):
    usual = evaluate(Knows(numbered(world, 1).sample.labels), numbered(world, 1), protocol=protocol)
    huge = numbered(world, 2**62)  # tables by number would need exabytes
    found = evaluate(Knows(huge.sample.labels), huge, protocol=protocol)
    assert found.metrics[found.headline] == usual.metrics[usual.headline]


def test_labels_below_void_are_told_with_the_image(world):
    data = numbered(world, 1)
    data.sample.labels[0, 0] = -2
    with pytest.raises(CongealError, match=r"at least -1 \(void\) in labels of plain-0, got -2"):
        evaluate(Knows(np.maximum(data.sample.labels, 0)), data)


def test_without_room_for_the_page_there_are_no_scores_either(world, tmp_path, monkeypatch):
    from congeal.evaluation import page

    data = numbered(world, 1)
    found = evaluate(Knows(data.sample.labels), data)

    class Full:
        def save(self, path):
            path.write_text("<html>")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "make_page", lambda evaluation: Full())
    with pytest.raises(CongealError, match=r"cannot write .*No space left on device"):
        found.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    found.save(tmp_path / "out", report=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evaluation.json"]
