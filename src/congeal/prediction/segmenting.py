"""Segmenting the images and volumes of a run, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from congeal.models.pixel_size import UNITS_ONLY, resize_factor, resize_note, trained_pixel_size
from congeal.prediction.lazy_model import LazyModel
from congeal.prediction.provenance import Provenance
from congeal.prediction.reading import Page, Pages, read_page
from congeal.prediction.seams import Seams
from congeal.prediction.tile_work import TileSource, TileWork
from congeal.prediction.volume import VolumeResult, check_objects
from congeal.segmentation import Segmentation
from congeal.segmentation import formats as writers
from congeal.segmentation.formats import MAPS
from congeal.segmentation.scale import Scale
from congeal.segmentation.volume import Volume

__all__ = ["FileSegmenter", "ImageResult"]


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The result of an image, with what its files are written from."""

    result: Segmentation
    image: NDArray[Any]
    scale: Scale
    seams: Seams

    def save(self, path: Path, file_name: str) -> Path:
        """Write a file in the format its name tells; ``file_name`` is the image's own."""
        return writers.save(self.result, path, self.image, self.scale, file_name)


@dataclass(frozen=True)
class FileSegmenter:
    """Segments the images of a run.

    Args:
        model: loaded when the first image needs it.
        provenance: model and settings; tiles of other ones are not used.
        pages: the images.
        work: how tiles are computed.
        resized: number of images by the note on their size.
    """

    model: LazyModel
    provenance: Provenance
    pages: Pages
    work: TileWork
    resized: Counter[str] = field(default_factory=Counter)

    def segment(self, path: Path, name: str) -> ImageResult | VolumeResult | None:
        """Segment an image or stack; None where only a part of its tiles was asked for.

        Args:
            path: of the image.
            name: of its results.

        Raises:
            CongealError: it cannot be read or segmented.
        """
        if self.pages.reading.stack == "volume":
            return self._segment_volume(path, name)
        page = self.pages.of[path]
        image, scale = self.pages.read(path).pixels, self.pages.reading.scale(page.file)
        factor = self._factor(scale)
        made = self.work.segment(self.model, image, self._source(page, name, factor))
        return None if made is None else ImageResult(made[0], image, scale, made[1])

    def _segment_volume(self, path: Path, name: str) -> VolumeResult | None:
        reading, file = self.pages.reading, self.pages.file(path)
        planes, size = self.pages.planes(path), reading.voxel_size(file)
        found = self._segment_planes(planes, file, name, self._factor(size.scale))
        if self.work.part is not None:
            for _ in found:
                pass
            return None
        return VolumeResult(Volume.from_planes(found, min_iou=reading.stitch), size)

    def _segment_planes(
        self, planes: Iterable[NDArray[Any]], file: Path, name: str, factor: float
    ) -> Iterator[Segmentation]:
        for number, plane in enumerate(planes):
            source = self._source(Page(file, number), f"{name}/z{number + 1:03d}", factor)
            made = self.work.segment(self.model, plane, source)
            if made is not None:
                yield check_objects(made[0])

    def _factor(self, scale: Scale) -> float:
        """By how much an image is resized for the model; what :meth:`notes` says is counted."""
        model = self.model.get()
        factor = resize_factor(model, scale.pixel_size)
        note = resize_note(factor, trained_pixel_size(model), self.pages.reading.pixel_size)
        self.resized.update([note] if note else [])
        return factor

    def notes(self) -> list[str]:
        """Say which images were resized for the model, or why none was."""
        return [
            note if note == UNITS_ONLY else f"{count} image{'s' * (count > 1)} {note}"
            for note, count in self.resized.items()
        ]

    def _source(self, page: Page, name: str, factor: float) -> TileSource:
        page = Page(page.file.absolute(), page.number)
        read = partial(read_page, page, self.pages.reading.channels)
        key: dict[str, Any] = {
            **self.provenance.facts(),
            "modified": page.file.stat().st_mtime_ns,
            "file": str(page.file),
            "maps": [name for name in MAPS if name in self.model.maps],
        }
        if factor != 1:
            key["resized"] = factor
        return TileSource(name, read, key if self.provenance.model else None, factor)
