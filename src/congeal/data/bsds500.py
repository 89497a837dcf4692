"""Reader of BSDS500, the Berkeley Segmentation Data Set: several annotators per image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from congeal.data.images import image_files, read_image
from congeal.data.matlab import integer_map, read_mat
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import LabelMap, Mask, Sample
from congeal.data.split import PARTS
from congeal.data.standard import StandardDataset, first_folder
from congeal.errors import CongealError

__all__ = ["Bsds500Dataset"]


class Bsds500Dataset(StandardDataset):
    """Photographs segmented by four to nine annotators; there is no background.

    ``annotations`` holds the segments 1..K of every annotator, ``boundaries`` their boundaries as
    stored for the benchmark (thinner than the edges of the segments), and ``labels`` the segments
    of the first annotator.

    Args:
        root: the folder with ``images`` and ``groundTruth``, or ``BSR`` or ``BSDS500`` above it.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        seed: of the hash split; not used where the dataset has split folders.
        name: of the dataset; None: its path.

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
        parents = ("", "data", "BSDS500/data", "BSR/BSDS500/data")
        return first_folder(path, parents, ("images", "groundTruth"))

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """Image and annotation files by split folder, or all under ``"all"`` without folders."""
        splits = [part for part in PARTS if (home / "images" / part).is_dir()]
        if not splits:
            return {"all": _pairs(home, "")}
        return {part: _pairs(home, part) for part in splits}

    def read(self, pair: Pair) -> Sample:
        """Read the image and the segments and boundaries of every annotator."""
        image = read_image(pair.image)
        annotations, boundaries = _annotators(pair.mask)
        for annotated in (*annotations, *boundaries):
            check_sizes(image.shape[:2], pair.image, annotated.shape, pair.mask)
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
    records: list[Any] = list(np.atleast_1d(read_mat(path, "groundTruth")))
    if not records:
        raise CongealError(f"expected annotations in {path}, found none")
    segments = tuple(integer_map(record, "Segmentation", path) for record in records)
    lowest = min(int(labels.min()) for labels in segments)
    if lowest < 1:
        raise CongealError(f"expected segments numbered from 1 in {path}, got {lowest}")
    boundaries = tuple(integer_map(record, "Boundaries", path) > 0 for record in records)
    return segments, boundaries
