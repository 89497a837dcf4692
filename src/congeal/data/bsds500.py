"""BSDS500, the Berkeley Segmentation Data Set: each image divided by several people."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from congeal.data.images import image_files, read_image
from congeal.data.matlab import read_mat, whole_numbers
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import LabelMap, Mask, Sample
from congeal.data.split import PARTS
from congeal.data.standard import StandardDataset, first_folder
from congeal.errors import CongealError

__all__ = ["Bsds500Dataset"]


class Bsds500Dataset(StandardDataset):
    """Photographs that four to nine people divided into segments, none of them background.

    ``annotations`` holds the segments 1..K of every annotator and ``boundaries`` the boundaries
    as the benchmark takes them, which are thinner than the edges of the segments; ``labels`` are
    the segments of the first annotator.

    Args:
        root: the folder with ``images`` and ``groundTruth``, or ``BSR`` or ``BSDS500`` above it.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        seed: not used where the split folders are there.
        name: what to call the dataset; its path when None.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> Bsds500Dataset.protocol, Bsds500Dataset.other_protocols
        ('bsds-boundaries', ('bsds-regions',))
    """

    layout: ClassVar[str] = "BSDS500 (images and groundTruth, each with train, val and test)"
    protocol = "bsds-boundaries"
    other_protocols = ("bsds-regions",)

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder with ``images`` and ``groundTruth``."""
        places = ("", "data", "BSDS500/data", "BSR/BSDS500/data")
        return first_folder(path, places, ("images", "groundTruth"))

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The images of each split folder; without such folders, all of them."""
        inside = [part for part in PARTS if (home / "images" / part).is_dir()]
        if not inside:
            return {"all": _pairs(home, "")}
        return {part: _pairs(home, part) for part in inside}

    def read(self, pair: Pair) -> Sample:
        """Read the image and what every annotator made of it."""
        image = read_image(pair.image)
        annotations, boundaries = _annotators(pair.mask)
        for drawn in (*annotations, *boundaries):
            check_sizes(image.shape[:2], pair.image, drawn.shape, pair.mask)
        return Sample(
            pair.name,
            image,
            annotations[0],
            pair.image,
            annotations=annotations,
            boundaries=boundaries,
        )


def _pairs(home: Path, part: str) -> list[Pair]:
    truth = home / "groundTruth" / part
    files = image_files(home / "images" / part)
    return [Pair(path.stem, path, truth / f"{path.stem}.mat") for path in files]


def _annotators(path: Path) -> tuple[tuple[LabelMap, ...], tuple[Mask, ...]]:
    people: list[Any] = list(np.atleast_1d(read_mat(path, "groundTruth")))
    if not people:
        raise CongealError(f"expected annotations in {path}, it has none")
    segments = tuple(whole_numbers(person, "Segmentation", path) for person in people)
    lowest = min(int(drawn.min()) for drawn in segments)
    if lowest < 1:
        raise CongealError(f"expected segments numbered from 1 in {path}, got {lowest}")
    drawn = tuple(whole_numbers(person, "Boundaries", path) > 0 for person in people)
    return segments, drawn
