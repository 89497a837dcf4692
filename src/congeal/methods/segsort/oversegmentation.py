"""Segments from contours, for unsupervised training (instead of k-means).

Flow: image, or boundary map of a file or a model -> region hierarchy -> segments -> ``labels``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from congeal.data.images import read_image
from congeal.data.matlab import read_mat
from congeal.data.sample import Dataset, Sample, Subset
from congeal.errors import CongealError
from congeal.methods.companions import load_companion
from congeal.methods.method import Method
from congeal.methods.segsort.hierarchy import image_gradient, sized_hierarchy

__all__ = ["ContourSegments", "boundary_source"]

Boundary = NDArray[np.float64]
Source = Callable[[Sample], Boundary]
ENDINGS = (".png", ".tif", ".mat", ".npy")


class ContourSegments(Subset):
    """The images of a dataset with segments from contours as labels, without classes.

    Args:
        dataset: the images.
        contours: as in :func:`boundary_source`.
        threshold: regions are merged up to this boundary strength, [0, 1].
        scale: relative size of the network's input; limits the resolution of the regions.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> shapes = DrawnDataset("shapes", "val", count=1, size=64)
        >>> sample = ContourSegments(shapes, None, 0.5)[0]
        >>> bool(sample.labels.min() == 1), sample.semantic is None
        (True, True)
    """

    def __init__(
        self, dataset: Dataset, contours: str | None, threshold: float, scale: float = 1.0
    ) -> None:
        super().__init__(dataset, range(len(dataset)))
        self.contours, self.threshold, self.scale = contours, threshold, scale
        self._source: Source | None = None

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if self._source is None:  # opened late, in the worker process
            self._source = boundary_source(self.contours)
        found = sized_hierarchy(self._source(sample), self.scale)
        return Sample(sample.name, sample.image, found.segments(self.threshold), sample.path)


def boundary_source(contours: str | None) -> Source:
    """A function that returns the boundary map ``(H, W)`` in [0, 1] of a sample.

    Args:
        contours: a folder of boundary maps named like the images (``.png`` or ``.tif``, integers
            scaled by the largest value of their type; ``.npy`` in [0, 1]; ``.mat`` with ``ucm2`` of
            the Berkeley benchmark); a model for boundaries, by folder or name; or None for the
            image gradient.

    Raises:
        CongealError: the folder or model does not exist; at a call: the map of an image is missing
            or has another size.
    """
    if contours is None:
        return _gradient
    folder = Path(contours)
    if folder.is_dir() and not (folder / "config.json").is_file():
        return partial(_from_file, folder)
    return partial(_from_model, load_companion(contours).eval(), contours)


def _gradient(sample: Sample) -> Boundary:
    return image_gradient(sample.image)


def _from_model(model: Method, where: str, sample: Sample) -> Boundary:
    found = model.segment(sample.image).boundary
    if found is None:
        raise CongealError(
            f"expected a model for boundaries as loss.contours, {where} is for {model.task.name}"
        )
    return np.asarray(found, np.float64).clip(0, 1)


def _from_file(folder: Path, sample: Sample) -> Boundary:
    names = [sample.name, Path(sample.name).name]
    paths = [folder / f"{name}{ending}" for name in names for ending in ENDINGS]
    path = next((one for one in paths if one.is_file()), None)
    if path is None:
        known = ", ".join(ENDINGS)
        raise CongealError(f"expected a boundary map {names[-1]} ({known}) in {folder}, found none")
    strength = _read(path)
    if strength.shape != sample.image.shape[:2]:
        raise CongealError(
            f"expected a boundary map of {sample.image.shape[:2]} pixels, "
            f"got {strength.shape} ({path})"
        )
    return strength


def _read(path: Path) -> Boundary:
    if path.suffix == ".mat":
        return np.asarray(read_mat(path, "ucm2"), np.float64)[2::2, 2::2]
    if path.suffix == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False), np.float64)
        except (OSError, ValueError) as error:
            raise CongealError(f"cannot read {path}: {error}") from error
    pixels = read_image(path)[..., 0]
    whole = np.issubdtype(pixels.dtype, np.integer)
    return pixels / (np.iinfo(pixels.dtype).max if whole else 1.0)
