"""Small worlds whose truth is known, and models that know it too, or nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from congeal.data.cityscapes import CITYSCAPES_CLASSES, CityscapesDataset
from congeal.data.sample import Dataset, Sample
from congeal.metrics import corner_boundaries
from congeal.segmentation import Segmentation

SIDE = 96
CAR, PERSON, ROAD, SKY = 14, 12, 1, 11


class World(Dataset):
    """Three images of three objects each; `kind` says what is known of them."""

    def __init__(self, kind: str, count: int = 3, protocol: str = "matching") -> None:
        self.name, self.split, self.kind, self.count = kind, "test", kind, count
        self.protocol = protocol
        if kind == "has_classes":
            self.class_names = ("background", "cat", "dog")
        if kind == "streets":
            self.class_names, self.class_ids = CITYSCAPES_CLASSES, CityscapesDataset.class_ids
            self.has_background = False

    def __len__(self) -> int:
        return self.count

    def names(self) -> list[str]:
        return [f"{self.kind}-{index}" for index in range(self.count)]

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        labels = np.zeros((SIDE, SIDE), np.int64)
        for number, top in enumerate((4, 36, 66), start=1):  # at least 1,000 pixels each
            labels[top : top + 26, 6 + index : 50 + 6 * number] = number
        image = np.repeat(labels[..., None].astype(np.uint8) * 80, 3, axis=2)
        return Sample(self.names()[index], image, labels, **self._known(labels))

    def _known(self, labels: np.ndarray) -> dict[str, object]:
        if self.kind == "has_classes":
            classes = np.array([1, 2, 1])
            return {"classes": classes, "semantic": np.concatenate([[0], classes])[labels]}
        if self.kind == "streets":
            labels[:2] = -1
            classes = np.array([CAR, PERSON, CAR])
            semantic = np.concatenate([[ROAD], classes])[np.maximum(labels, 0)]
            semantic[(labels == 0) & (np.arange(SIDE) >= 80)] = SKY
            semantic[labels < 0] = -1
            return {"classes": classes, "semantic": semantic}
        if self.kind == "drawn":
            return {
                "annotations": (labels + 1,) * 2,
                "boundaries": (corner_boundaries(labels),) * 2,
            }
        return {}

    def distances(self, name: str) -> dict[int, tuple[float, float]]:
        return {26000: (20.0, 1.0), 24000: (30.0, 1.0), 26001: (40.0, 1.0)}


class Perfect:
    """Answers with the truth of one image of a dataset after the other, its stuff included."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.calls = dataset, 0

    def segment(self, image: np.ndarray) -> Segmentation:
        sample = self.dataset[self.calls % len(self.dataset)]
        self.calls += 1
        if sample.masks:
            return whole(sample, self.dataset)
        labels, classes = np.maximum(sample.labels, 0), sample.classes
        if classes is None:
            return Segmentation.from_labels(labels)
        stuff = np.unique(sample.semantic[(labels == 0) & (sample.semantic > 0)])
        for label in stuff:
            labels[(labels == 0) & (sample.semantic == label)] = len(classes) + 1
            classes = np.append(classes, label)
        present = np.unique(labels[labels > 0])
        return Segmentation.from_labels(
            labels, classes=classes[present - 1], class_names=self.dataset.class_names[1:]
        )


class Nothing:
    """Finds nothing, whatever it is shown."""

    def segment(self, image: np.ndarray) -> Segmentation:
        return Segmentation.from_labels(np.zeros(image.shape[:2], int))


class Embeds:
    """Gives the objects of another model an embedding, the class of each pixel as a direction."""

    def __init__(self, model: object, dataset: Dataset) -> None:
        self.model, self.dataset = model, dataset

    def segment(self, image: np.ndarray, *, keep_embedding: bool = False) -> Segmentation:
        found = self.model.segment(image)
        by_object = np.concatenate([[0], found.classes])[found.labels]
        directions = np.eye(len(self.dataset.class_names))[by_object]  # (H, W, D)
        found.embedding = directions.transpose(2, 0, 1)[:, ::4, ::4] if keep_embedding else None
        return found


def whole(sample: Sample, dataset: Dataset) -> Segmentation:
    """The objects of a sample with their overlaps, without its crowds."""
    known = [mask for mask in sample.masks if not mask.crowd]
    decoded = [coco_mask.decode(mask.rle) for mask in known]
    return Segmentation.from_masks(
        np.array(decoded).reshape(-1, *sample.labels.shape),
        classes=[mask.class_id or 1 for mask in known],
        class_names=dataset.class_names[1:] or None,
    )


@pytest.fixture
def world() -> Callable[..., World]:
    """`world("streets")`: one of plain, has_classes, streets, drawn."""
    return World


@pytest.fixture
def perfect() -> Callable[[Dataset], Perfect]:
    return Perfect


@pytest.fixture
def nothing() -> Nothing:
    return Nothing()


@pytest.fixture
def embeds() -> Callable[[object, Dataset], Embeds]:
    return Embeds
