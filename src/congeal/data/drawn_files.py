"""Writes synthetic images in the file layout of published datasets, as a stand-in for them."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from congeal.data.drawn_kinds import draw_kind
from congeal.data.scenes_streets import draw_street
from congeal.errors import CongealError
from congeal.files import atomic_path

__all__ = ["write_cityscapes", "write_cvppp"]

_PLANT_SIZE = (530, 500)  # height and width of the images of CVPPP A1
_CITIES = {"train": "aachen", "val": "lindau"}


def write_cvppp(
    folder: str | Path,
    count: int,
    *,
    size: tuple[int, int] = _PLANT_SIZE,
    objects: tuple[int, int] | None = None,
    seed: int = 0,
) -> Path:
    """Write synthetic rosettes in the layout of CVPPP A1: ``A1/plant001_rgb.png`` and so on.

    Args:
        folder: parent of the new folder ``A1``.
        count: number of images.
        size: height and width in pixels.
        objects: minimum and maximum number of leaves; None: 5 to 25.
        seed: of all random numbers.

    Returns:
        The folder ``A1``, readable by `congeal.data.CvpppDataset`.

    Raises:
        CongealError: the count is below 1, or a file cannot be written.

    Example:
        >>> import tempfile
        >>> from congeal.data import CvpppDataset
        >>> CvpppDataset(write_cvppp(tempfile.mkdtemp(), 2, size=(64, 64))).names()
        ['plant001', 'plant002']
    """
    _check_count(count)
    home = Path(folder) / "A1"
    for number in range(1, count + 1):
        rng = np.random.default_rng([seed, zlib.crc32(b"cvppp"), number])
        image, labels, _ = draw_kind("rosettes", rng, size, objects=objects)
        _save(home / f"plant{number:03d}_rgb.png", image)
        _save(home / f"plant{number:03d}_label.png", labels.astype(np.uint8))
    return home


def write_cityscapes(
    folder: str | Path,
    train: int,
    val: int,
    *,
    size: tuple[int, int] = (128, 256),
    objects: tuple[int, int] = (4, 12),
    seed: int = 0,
) -> Path:
    """Write synthetic street scenes in the layout of Cityscapes, with one city per split.

    Writes images, ``instanceIds.png`` (16 bits) and ``labelIds.png``. Parking and the ego vehicle
    are labelled and not evaluated, as in Cityscapes.

    Args:
        folder: parent of the new folders ``leftImg8bit`` and ``gtFine``.
        train: number of training images.
        val: number of validation images.
        size: height and width in pixels.
        objects: minimum and maximum number of objects per image.
        seed: of all random numbers.

    Returns:
        ``folder``, readable by `congeal.data.CityscapesDataset`.

    Raises:
        CongealError: a count is below 1, or a file cannot be written.

    Example:
        >>> import tempfile
        >>> from congeal.data import CityscapesDataset
        >>> CityscapesDataset(write_cityscapes(tempfile.mkdtemp(), 1, 1), "val").names()
        ['lindau_000000_000019']
    """
    for split, count in (("train", train), ("val", val)):
        _check_count(count)
        for number in range(count):
            rng = np.random.default_rng([seed, zlib.crc32(split.encode()), number])
            number_of_objects = int(rng.integers(objects[0], objects[1] + 1))
            image, ids = draw_street(rng, size, number_of_objects)
            _save_street(Path(folder), split, number, image, ids)
    return Path(folder)


def _save_street(
    home: Path, split: str, number: int, image: NDArray[Any], ids: NDArray[np.int64]
) -> None:
    city = _CITIES[split]
    name = f"{city}_{number:06d}_000019"
    truth = home / "gtFine" / split / city
    classes = np.where(ids >= 1000, ids // 1000, ids)
    _save(home / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", image)
    _save(truth / f"{name}_gtFine_labelIds.png", classes.astype(np.uint8))
    _save(truth / f"{name}_gtFine_instanceIds.png", ids.astype(np.uint16))


def _check_count(count: int) -> None:
    if count < 1:
        raise CongealError(f"expected a count of 1 or more images, got {count}")


def _save(path: Path, pixels: NDArray[Any]) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary)
