"""The index of SegSort: a prototype for each segment of each training image.

It is stored in buffers of a module, and thus saved and loaded with the weights.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor, nn

from congeal.errors import CongealError, unknown
from congeal.figures.display import to_display
from congeal.methods.index import IndexedImage

__all__ = ["INDEXED", "ImageSegments", "PrototypeIndex", "encode_thumbnail"]

COLUMNS = ("prototypes", "classes", "images", "boxes")
INDEXED = (*COLUMNS, "text", "pictures", "picture_sizes")
"""Names of the buffers of an index."""

PICTURE_SIDE = 128  # px, longest side of thumbnails of training images, shown in explanations
PICTURE_QUALITY = 75  # of JPEG: 3 to 5 kB per thumbnail


class ImageSegments(NamedTuple):
    """The segments of one training image.

    Attributes:
        name: name of the image.
        prototypes: ``(K, D)`` unit vectors.
        classes: ``(K,)`` int64, at least 0.
        boxes: ``(K, 4)`` y0, x0, y1, x1 as shares of the image's sides.
        picture: thumbnail of the image as JPEG file; empty: none.
    """

    name: str
    prototypes: Tensor
    classes: Tensor
    boxes: Tensor
    picture: bytes = b""


def encode_thumbnail(image: ArrayLike) -> bytes:
    """Encode a thumbnail of an image as JPEG, longest side 128 pixels.

    Example:
        >>> Image.open(io.BytesIO(encode_thumbnail(np.zeros((300, 200), np.uint8)))).size
        (85, 128)
    """
    picture = Image.fromarray(to_display(image))
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=PICTURE_QUALITY)
    return file.getvalue()


class PrototypeIndex(nn.Module):
    """Prototypes with class, image and box, in buffers.

    Args:
        dimensions: D of the embedding.

    Attributes:
        prototypes: ``(M, D)`` float32 unit vectors.
        classes: ``(M,)`` int64, 0 background.
        images: ``(M,)`` int64, index of the image in :attr:`names`.
        boxes: ``(M, 4)`` float32, y0, x0, y1, x1 of the segment as shares of the image's sides.
        text: ``(T,)`` uint8, names of the images in UTF-8, one per line.
        pictures: ``(P,)`` uint8, concatenated JPEG thumbnails of the images.
        picture_sizes: ``(N,)`` int64, bytes of each thumbnail.

    Example:
        >>> index = PrototypeIndex(2)
        >>> classes, boxes = torch.tensor([0, 3]), torch.zeros(2, 4)
        >>> index.add([ImageSegments("field", torch.eye(2), classes, boxes)])
        >>> len(index), index.names, index.rows()[0].classes
        (2, ['field'], (0, 3))
    """

    prototypes: Tensor
    classes: Tensor
    images: Tensor
    boxes: Tensor
    text: Tensor
    pictures: Tensor
    picture_sizes: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(0, dimensions))
        self.register_buffer("classes", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("images", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("boxes", torch.zeros(0, 4))
        self.register_buffer("text", torch.zeros(0, dtype=torch.uint8))
        self.register_buffer("pictures", torch.zeros(0, dtype=torch.uint8))
        self.register_buffer("picture_sizes", torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        """Number of prototypes."""
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """Names of the images, in the order they were added."""
        return bytes(self.text.tolist()).decode().splitlines()

    def _store_names(self, names: list[str]) -> None:
        data = bytearray("".join(f"{name}\n" for name in names).encode())
        self.text = torch.tensor(list(data), dtype=torch.uint8, device=self.classes.device)

    def add(self, images: Sequence[ImageSegments]) -> None:
        """Add the segments of images; images of the same name are replaced.

        Raises:
            CongealError: the segments of an image have wrong shapes.
        """
        width = self.prototypes.shape[1]
        new = {" ".join(one.name.split()): one for one in images}  # names are lines of ``text``
        for one in new.values():
            count = len(one.classes)
            if one.prototypes.shape != (count, width) or one.boxes.shape != (count, 4):
                raise CongealError(
                    f"expected prototypes ({count}, {width}) and boxes ({count}, 4) of {one.name}, "
                    f"got {tuple(one.prototypes.shape)} and {tuple(one.boxes.shape)}"
                )
        self._forget({name for name in self.names if name in new})
        names = self.names
        for column in ("prototypes", "classes", "boxes"):
            old = getattr(self, column)
            rows = [getattr(one, column).detach().to(old) for one in new.values()]
            setattr(self, column, torch.cat([old, *rows]))
        counts = torch.tensor([len(one.classes) for one in new.values()], dtype=torch.int64)
        places = torch.arange(len(names), len(names) + len(new)).repeat_interleave(counts)
        self.images = torch.cat([self.images, places.to(self.images)])
        self._store_names([*names, *new])
        files = [_bytes(one.picture, self.pictures) for one in new.values()]
        sizes = self.picture_sizes.new_tensor([len(file) for file in files])
        self.pictures = torch.cat([self.pictures, *files])
        self.picture_sizes = torch.cat([self.picture_sizes, sizes])

    def picture(self, name: str) -> NDArray[np.uint8] | None:
        """Thumbnail ``(h, w, 3)`` of an image; None if there is none."""
        files = self.pictures.split(self.picture_sizes.tolist())
        file = bytes(files[self.names.index(name)].tolist()) if name in self.names else b""
        return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) if file else None

    def drop(self, name: str) -> int:
        """Remove an image; returns the number of prototypes removed.

        Raises:
            CongealError: the name is unknown; the nearest name is suggested.
        """
        if name not in self.names:
            raise unknown("image in the index", name, self.names)
        before = len(self)
        self._forget({name})
        return before - len(self)

    def _forget(self, removed: set[str]) -> None:
        if not removed:
            return
        kept = torch.tensor([name not in removed for name in self.names], device=self.images.device)
        keep = kept[self.images]
        for column in COLUMNS:
            setattr(self, column, getattr(self, column)[keep].clone())
        self.images = (kept.cumsum(0) - 1)[self.images]
        self.pictures = self.pictures[kept.repeat_interleave(self.picture_sizes)].clone()
        self.picture_sizes = self.picture_sizes[kept].clone()
        self._store_names([name for name in self.names if name not in removed])

    def clear(self) -> None:
        """Remove all images."""
        for column in INDEXED:
            setattr(self, column, getattr(self, column)[:0].clone())

    def rows(self) -> list[IndexedImage]:
        """Name, number of segments, classes and size in bytes of each image."""
        each = sum(getattr(self, name)[0].nbytes for name in COLUMNS) if len(self) else 0
        images, classes = self.images.cpu(), self.classes.cpu()
        found = []
        for place, name in enumerate(self.names):
            own = classes[images == place]
            kinds = tuple(own.unique().tolist())
            size = len(own) * each + len(name.encode()) + 1 + int(self.picture_sizes[place])
            found.append(IndexedImage(name, len(own), kinds, size))
        return found


def _bytes(data: bytes, like: Tensor) -> Tensor:
    return torch.tensor(list(data), dtype=torch.uint8, device=like.device)
