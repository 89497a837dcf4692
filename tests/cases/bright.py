"""A model that needs no training, images for it, and what lies in a folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label

from congeal.segmentation import Segmentation


class Bright:
    """A model that calls every bright patch an object, and counts what it is asked."""

    def __init__(self):
        self.asked = 0

    def segment(self, image):
        self.asked += 1
        return Segmentation.from_labels(label(image[..., 0] > 128))


def write_image(path: Path, patches: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((20, 30), np.uint8)
    for patch in range(patches):
        pixels[5:10, 5 * patch : 5 * patch + 3] = 200
    Image.fromarray(pixels).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "congeal.jsonl")


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)
