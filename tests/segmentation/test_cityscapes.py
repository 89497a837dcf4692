"""The files of the Cityscapes benchmark, read back as its evaluation programme reads them."""

import numpy as np
import pytest
from PIL import Image

from congeal.errors import CongealError
from congeal.segmentation import Segmentation


def read_back(text):
    """Masks, numbers of classes and scores, by the text's own words."""
    found = []
    for line in text.read_text().splitlines():
        mask, number, score = line.split(" ")
        found.append((np.array(Image.open(text.parent / mask)) != 0, int(number), float(score)))
    return found


def some(labels, **more):
    return Segmentation.from_labels(labels, class_names=["road", "car", "bicycle"], **more)


def test_each_object_has_a_line_and_a_mask(tmp_path):
    labels = np.array([[1, 1, 0], [2, 0, 3]])
    result = some(labels, classes=[2, 3, 1], scores=[0.9, 0.25, 1.0])
    path = result.save_as("cityscapes", tmp_path, "lindau_000000_000019_leftImg8bit.png")
    assert path.name == "lindau_000000_000019_leftImg8bit_pred.txt"
    (car, bicycle) = read_back(path)  # road has no objects there
    assert (car[1:], bicycle[1:]) == ((26, 0.9), (33, 0.25))
    assert np.array_equal(car[0], labels == 1)
    assert np.array_equal(bicycle[0], labels == 2)


def test_masks_of_an_earlier_result_go(tmp_path):
    some([[1, 2]], classes=[2, 2]).save(tmp_path / "a_pred.txt")
    path = some([[1, 1]], classes=[2]).save(tmp_path / "a_pred.txt")
    assert [mask.sum() for mask, _, _ in read_back(path)] == [2]
    assert len(list((tmp_path / "a_pred").iterdir())) == 1


def test_an_image_without_objects_has_an_empty_text(tmp_path):
    assert some([[0, 0]]).save(tmp_path / "a_pred.txt").read_text() == ""


def test_other_classes_are_refused_in_one_line(tmp_path):
    with pytest.raises(CongealError, match=r"classes person, rider, car.*got object"):
        Segmentation.from_labels([[1]]).save(tmp_path / "a_pred.txt")
