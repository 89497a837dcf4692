"""Datasets of image files with one label map, or one folder of binary masks, each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from congeal.data.images import Channels, image_files, read_image, read_labels
from congeal.data.sample import Dataset, LabelMap, Sample
from congeal.errors import CongealError

__all__ = [
    "MASK_SUFFIXES",
    "Pair",
    "PairedDataset",
    "check_sizes",
    "mask_files",
    "paint_masks",
    "read_masks",
    "read_pair",
]

MASK_SUFFIXES = frozenset(
    {".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".pbm", ".jpg", ".jpeg"}
)
"""Suffixes of mask files; JPEG is included so that it is rejected with an explanation."""


@dataclass(frozen=True)
class Pair:
    """An image file and its annotation files.

    Attributes:
        name: name of the sample.
        image: the image file.
        mask: its label map, or a folder of binary masks; the first of several ``class_masks``; the
            semantic map in data without instances.
        semantic: its semantic map.
        class_masks: class name and mask (as ``mask``) of each class.
    """

    name: str
    image: Path
    mask: Path
    semantic: Path | None = None
    class_masks: tuple[tuple[str, Path], ...] = ()


class PairedDataset(Dataset):
    """A dataset of file pairs, read on access.

    Args:
        name: of the dataset.
        split: name of the split.
        pairs: the files of the samples, in order.

    Example:
        >>> data = PairedDataset("mine", "all", [Pair("a", Path("a.png"), Path("masks/a.png"))])
        >>> data.names(), len(data)
        (['a'], 1)
    """

    def __init__(self, name: str, split: str, pairs: Sequence[Pair]) -> None:
        self.name = name
        self.split = split
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        return read_pair(self.pairs[index])

    def names(self) -> list[str]:
        """Names of all samples in order, without reading images."""
        return [pair.name for pair in self.pairs]


def read_pair(pair: Pair, channels: Channels = None) -> Sample:
    """Read the image and the label map of a pair.

    Args:
        pair: the files.
        channels: image channels to read, as in `read_image`.

    Raises:
        CongealError: a file cannot be read, or sizes differ.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("L", (5, 4)).save(folder / "a.png")
        >>> read_pair(Pair("a", folder / "a.png", folder / "a.png")).labels.shape
        (4, 5)
    """
    image = read_image(pair.image, channels)
    labels = read_masks(pair.mask) if pair.mask.is_dir() else read_labels(pair.mask)
    check_sizes(image.shape[:2], pair.image, labels.shape, pair.mask)
    return Sample(pair.name, image, labels, pair.image)


def check_sizes(
    image_size: tuple[int, ...], image: Path, mask_size: tuple[int, ...], mask: Path
) -> None:
    """Raise an error if an image and a mask differ in `(H, W)`.

    Raises:
        CongealError: the sizes differ.

    Example:
        >>> check_sizes((4, 5), Path("a.png"), (4, 5), Path("masks/a.png"))
    """
    if image_size == mask_size:
        return
    raise CongealError(
        f"expected a mask of the same size as its image, {image} is {_size(image_size)} "
        f"but {mask} is {_size(mask_size)} (height x width)"
    )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def read_masks(folder: Path) -> LabelMap:
    """Read a folder of binary masks, one per object, as a label map `(H, W)`.

    Objects are numbered in natural order of the file names. Where masks overlap, the smaller
    object is on top. Empty masks are skipped.

    Raises:
        CongealError: the folder has no masks, sizes differ, or a mask has more than two values.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for i in range(2):
        ...     mask = np.zeros((1, 3), np.uint8)
        ...     mask[0, i:] = 255
        ...     Image.fromarray(mask).save(folder / f"{i}.png")
        >>> read_masks(folder).tolist()
        [[1, 2, 2]]
    """
    files = _binary_files(folder)
    masks = [_binary(path) for path in files]
    for path, mask in zip(files, masks, strict=True):
        if mask.shape != masks[0].shape:
            sizes = f"{_size(mask.shape)}, {files[0].name} is {_size(masks[0].shape)}"
            raise CongealError(f"expected masks of the same size, {path} is {sizes}")
    return paint_masks([mask for mask in masks if mask.any()], masks[0].shape)


def mask_files(folder: Path) -> list[Path]:
    """List the non-empty binary masks of a folder: the k-th file (from 1) is object k.

    Raises:
        CongealError: as for `read_masks`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, value in (("a.png", 0), ("b.png", 255)):
        ...     Image.new("L", (2, 2), value).save(folder / name)
        >>> [path.name for path in mask_files(folder)]
        ['b.png']
    """
    return [path for path in _binary_files(folder) if _binary(path).any()]


def _binary_files(folder: Path) -> list[Path]:
    files = [path for path in image_files(folder) if path.suffix.lower() in MASK_SUFFIXES]
    if not files:
        raise CongealError(f"expected binary masks (PNG or TIFF) in {folder}, found none")
    return files


def _binary(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    values = read_labels(path)
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] > 0):
        raise CongealError(
            f"expected a binary mask (0 and one other value), {path} has {len(found)} values"
        )
    mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = values > 0
    return mask


def paint_masks(
    masks: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.bool_]]], shape: tuple[int, ...]
) -> LabelMap:
    """Combine masks into a label map: label k for mask k (from 1), smaller masks on top.

    Example:
        >>> large, small = np.ones((1, 3), bool), np.array([[True, False, False]])
        >>> paint_masks([small, large], (1, 3)).tolist()
        [[1, 2, 2]]
    """
    labels = np.zeros(shape, np.int64)
    order = sorted(range(len(masks)), key=lambda k: -int(masks[k].sum()))
    for k in order:
        labels[masks[k]] = k + 1
    return labels
