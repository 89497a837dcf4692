"""Scores of a model that is told the true classes of pixels (AP_gt)."""

import numpy as np
import pytest

from congeal.data.sample import Sample
from congeal.errors import CongealError
from congeal.evaluation import evaluate
from congeal.evaluation.true_classes import classes_for
from congeal.methods.discriminative import Discriminative
from congeal.methods.rpe import RPE
from congeal.segmentation import Segmentation


class Components:
    """Finds nothing by itself; makes connected parts of the classes it is told."""

    def segment(self, image, *, semantic=None):
        from skimage.measure import label

        shape = image.shape[:2]
        return Segmentation.from_labels(
            np.zeros(shape, int) if semantic is None else label(semantic)
        )


def test_only_the_grouping_is_measured(world):
    world = world("plain")
    assert evaluate(Components(), world).metrics["matching_ap@0.5"] == 0
    found = evaluate(Components(), world, true_classes=True)
    assert found.metrics["matching_ap@0.5"] == 1
    assert found.notes == ("the model was given the ground-truth class of every pixel",)


def test_a_model_finds_objects_within_the_given_classes(world):
    world = world("has_classes")
    model = Discriminative(class_names=["dog", "cat"], dimensions=2, min_area=0)
    found = evaluate(model, world, protocol="miou", true_classes=True)
    assert found.metrics["miou"] == 1


def test_models_without_semantic_input_are_rejected(world):
    with pytest.raises(CongealError, match=r"accepts a semantic map.*got rpe"):
        evaluate(RPE(), world("plain"), true_classes=True)


def test_classes_are_matched_by_name():
    labels = np.array([[0, 1, 2, -1]])
    given = ["background", "car", "man", "road"]
    semantic = np.array([[3, 1, 2, -1]])
    sample = Sample("a", np.zeros((1, 4, 1)), labels, semantic=semantic, classes=np.array([1, 2]))
    assert classes_for(["man", "car"], sample, given).tolist() == [[0, 2, 1, 0]]
    assert classes_for(["road"], sample, given).tolist() == [[1, 0, 0, 0]]
    assert classes_for(["object"], sample, given).tolist() == [[0, 1, 1, 0]]
    assert classes_for(["object"], Sample("a", sample.image, labels), []).tolist() == [[0, 1, 1, 0]]
    with pytest.raises(CongealError, match="a class of cat, dog, got car, man, road"):
        classes_for(["cat", "dog"], sample, given)
