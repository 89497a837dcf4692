"""Input of a training step: batches of crops with their target maps.

Flow: ``Sample`` (as read) -> :class:`TrainingImage` (rescaled, cached in memory) -> ``Augment`` ->
:class:`Batch` of one crop -> :meth:`Batch.collate` -> the losses of a method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from congeal.data.intensity import scale_intensity
from congeal.data.rescale import rescale_boundaries, rescale_image, rescale_labels
from congeal.data.sample import LabelMap, Pixels, Sample
from congeal.data.transforms import Augment
from congeal.data.view import BoundaryMap, LocationMap, pixel_locations
from congeal.errors import CongealError, unknown
from congeal.labels import VOID, relabel
from congeal.metrics.boundary_matching import corner_boundaries

__all__ = ["MAPS", "Batch", "TrainingImage", "check_maps"]

MAPS = ("labels", "semantic", "boundaries", "location")

MAX_EXACT_LABEL = 2**24  # larger integers are rounded by transforms that compute in float32


def check_maps(maps: Sequence[str]) -> tuple[str, ...]:
    """Check names of maps, and return them in the order of ``MAPS``.

    Raises:
        CongealError: a name is unknown.

    Example:
        >>> check_maps(["semantic", "labels"])
        ('labels', 'semantic')
    """
    for name in maps:
        if name not in MAPS:
            raise unknown("map of a batch", name, MAPS)
    return tuple(name for name in MAPS if name in maps)


@dataclass(frozen=True, eq=False)
class Batch:
    """Images with the target maps of the losses; maps that were not requested are None.

    All maps show the same crops. Pixels outside the whole image are void, except in ``location``.

    Attributes:
        image: `(B, C, H, W)` float32, about [0, 1]; C is the number of channels, at least 3 (gray
            is repeated, a second channel padded); 0 outside the whole image.
        labels: `(B, H, W)` int64, 0 background, 1..K objects, -1 void.
        semantic: `(B, H, W)` int64 class ids, 0 background, -1 void. In data without classes
            every object has class 1.
        boundaries: `(B, H, W)` float32, fraction of the annotators who mark the pixel as boundary,
            in [0, 1]; -1 void.
        location: `(B, 2, H, W)` float32, y / height and x / width of the pixel in its whole image,
            in [0, 1); outside the image the location of the nearest pixel.

    Example:
        >>> batch = Batch(torch.zeros(2, 3, 4, 5), torch.ones(2, 4, 5, dtype=torch.int64))
        >>> len(batch), batch.semantic is None
        (2, True)
        >>> [len(part) for part in batch.chunk(2)]
        [1, 1]
    """

    image: Tensor
    labels: Tensor | None = None
    semantic: Tensor | None = None
    boundaries: Tensor | None = None
    location: Tensor | None = None

    def __repr__(self) -> str:
        maps = "".join(f", {name}" for name in self.maps)
        return f"Batch(image {tuple(self.image.shape)}{maps})"

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image)

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of the maps that are not None."""
        return tuple(name for name in MAPS if getattr(self, name) is not None)

    def get(self, name: str) -> Tensor:
        """Return a map that must not be None.

        Raises:
            CongealError: the batch does not have the map.

        Example:
            >>> Batch(torch.zeros(1, 3, 4, 4)).get("labels")
            Traceback (most recent call last):
            ...
            congeal.errors.CongealError: expected labels in the batch, got image only
        """
        values = getattr(self, name) if name in MAPS else None
        if not isinstance(values, Tensor):
            available = ", ".join(self.maps) or "image only"
            raise CongealError(f"expected {name} in the batch, got {available}")
        return values

    def _apply(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(function(self.image), **{n: function(getattr(self, n)) for n in self.maps})

    def chunk(self, parts: int) -> list[Batch]:
        """Split into at most ``parts`` batches, as ``torch.chunk`` does; memory is shared."""
        size = -(-len(self) // parts)
        return [
            self._apply(lambda x, first=first: x[first : first + size])  # type: ignore[misc]
            for first in range(0, len(self), size)
        ]

    def to(self, device: torch.device | str, non_blocking: bool | None = None) -> Batch:
        """Move to a device.

        Args:
            device: the target.
            non_blocking: whether to copy asynchronously; None: for CUDA devices, where later
                operations on the stream wait for the copy.
        """
        if non_blocking is None:
            non_blocking = torch.device(device).type == "cuda"
        return self._apply(lambda x: x.to(device, non_blocking=non_blocking))

    def channels_last(self) -> Batch:
        """A copy with the image in channels-last memory format, the fastest for convolutions."""
        return replace(self, image=self.image.contiguous(memory_format=torch.channels_last))

    def pin_memory(self) -> Batch:
        """Copy to page-locked memory, from which transfers to a GPU are faster."""
        return self._apply(Tensor.pin_memory)

    @staticmethod
    def collate(batches: Sequence[Batch]) -> Batch:
        """Concatenate batches; the ``collate_fn`` of a DataLoader.

        Raises:
            CongealError: there is no batch, crops differ in size, or batches have different maps.

        Example:
            >>> one = Batch(torch.zeros(1, 3, 4, 4))
            >>> Batch.collate([one, one]).image.shape
            torch.Size([2, 3, 4, 4])
        """
        if not batches:
            raise CongealError("expected at least one crop in a batch, got none")
        sizes = sorted({tuple(batch.image.shape[-2:]) for batch in batches})
        if len(sizes) > 1:
            raise CongealError(f"expected crops of the same size in a batch, got {sizes}; set crop")
        if len({batch.maps for batch in batches}) > 1:
            raise CongealError("expected the same maps for all crops of a batch")
        names = ("image", *batches[0].maps)
        rows = {name: [row for batch in batches for row in getattr(batch, name)] for name in names}
        # default_collate, unlike torch.cat, writes to shared memory in a loader worker
        return Batch(**{name: default_collate(values) for name, values in rows.items()})


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """An image with its annotations, from which crops with target maps are drawn.

    Maps that can be derived from the labels of a crop are not stored: ``semantic`` is looked up by
    object, and boundaries are computed after resampling, so that they are one pixel wide at any
    scale.

    Attributes:
        image: `(C, H, W)`, C = 1 (gray) or 3.
        labels: `(H, W)` integers.
        semantic: `(H, W)` class ids; None: derived from the labels.
        boundaries: `(H, W)` fraction of annotators, -1 void; None: derived from the labels.
        classes: `(K,)` int64 class of each object, -1 without class; None in data without classes.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.transforms import TrainTransform
        >>> image = TrainingImage.from_sample(open_dataset("discs", "train")[0]).compact()
        >>> batch = image.draw(TrainTransform(crop=32), torch.Generator().manual_seed(0))
        >>> batch.image.shape, batch.maps
        (torch.Size([1, 3, 32, 32]), ('labels', 'semantic', 'boundaries', 'location'))
    """

    image: Tensor
    labels: Tensor
    semantic: Tensor | None = None
    boundaries: Tensor | None = None
    classes: Tensor | None = None

    @classmethod
    def from_sample(
        cls,
        sample: Sample,
        maps: Sequence[str] = MAPS,
        *,
        objects_only: bool = False,
        percentiles: tuple[float, float] = (1.0, 99.8),
    ) -> TrainingImage:
        """Normalise the image of a sample and collect its maps, at the original size.

        Boundaries are the mean of ``sample.boundaries`` if present, else of the boundaries of
        ``sample.annotations`` if present, else those of the labels.

        Args:
            sample: image and maps.
            maps: names out of ``MAPS``.
            objects_only: derive the semantic map from objects, ignoring ``sample.semantic``.
            percentiles: percentiles of intensity that are mapped to 0 and 1.

        Raises:
            CongealError: image and maps differ in size, or an object has no entry in ``classes``.
        """
        image = scale_intensity(sample.image, *percentiles)
        _check_sizes(sample, (image.shape[1], image.shape[2]))
        semantic = boundaries = classes = None
        if "semantic" in maps:
            if sample.semantic is not None and not (objects_only and sample.classes is not None):
                semantic = torch.from_numpy(sample.semantic)
            elif sample.classes is not None:
                classes = torch.from_numpy(_checked_classes(sample, sample.classes))
        if "boundaries" in maps:
            boundaries = _annotated_boundaries(sample)
        labels = sample.labels
        if labels.max(initial=0) > MAX_EXACT_LABEL:
            present = np.unique(labels[labels > 0])
            classes = None if classes is None else classes[present - 1]
            labels = relabel(labels)
        return cls(image, torch.from_numpy(labels), semantic, boundaries, classes)

    def scaled(self, scale: float) -> TrainingImage:
        """Rescale image and maps by a factor (:mod:`congeal.data.rescale`)."""
        return TrainingImage(
            rescale_image(self.image, scale),
            rescale_labels(self.labels, scale),
            None if self.semantic is None else rescale_labels(self.semantic, scale),
            None if self.boundaries is None else rescale_boundaries(self.boundaries, scale),
            self.classes,
        )

    def compact(self) -> TrainingImage:
        """Convert to smaller types: one channel if gray, half precision, short integers."""
        image = self.image[:1] if (self.image == self.image[:1]).all() else self.image
        return TrainingImage(
            image.half(),  # 11 bits of mantissa: finer than the 8 bits of most images
            self.labels.int(),
            None if self.semantic is None else self.semantic.to(_smallest_type(self.semantic)),
            self.boundaries,  # float32: losses compare fractions with thresholds such as 0.2
            self.classes,
        )

    @property
    def nbytes(self) -> int:
        """Memory of all tensors, in bytes."""
        tensors = (getattr(self, field.name) for field in fields(self))
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def draw(
        self, augment: Augment, generator: torch.Generator, maps: Sequence[str] = MAPS
    ) -> Batch:
        """Draw one random crop; the random numbers do not depend on the maps.

        Args:
            augment: the augmentation.
            generator: source of randomness.
            maps: names out of ``MAPS``.

        Returns:
            A batch of one.
        """
        stored = {"labels": self.labels, **self._stored_maps(maps)}
        image = self.image.expand(max(3, len(self.image)), -1, -1)  # compact() keeps one channel
        crop, *resampled = augment(image, *stored.values(), generator=generator)
        targets = dict(zip(stored, resampled, strict=True))
        if "semantic" in maps and "semantic" not in targets:
            targets["semantic"] = _paint(targets["labels"], self.classes)
        if "boundaries" in maps and "boundaries" not in targets:
            targets["boundaries"] = _label_boundaries(targets["labels"])
        return Batch(crop[None], **{name: targets[name][None] for name in maps})

    def _stored_maps(self, maps: Sequence[str]) -> dict[str, Tensor]:
        """The requested maps, except labels, that have to be resampled."""
        stored: dict[str, Tensor] = {}
        if "semantic" in maps and self.semantic is not None:
            stored["semantic"] = self.semantic
        if "boundaries" in maps and self.boundaries is not None:
            stored["boundaries"] = BoundaryMap(self.boundaries)
        if "location" in maps:
            stored["location"] = LocationMap(pixel_locations(*self.labels.shape))
        return stored


def _check_sizes(sample: Sample, size: tuple[int, int]) -> None:
    by_annotator = {"annotations": sample.annotations, "boundaries": sample.boundaries}
    maps: list[tuple[str, Pixels | None]] = [
        ("labels", sample.labels),
        ("semantic", sample.semantic),
        *((name, one) for name, several in by_annotator.items() for one in several),
    ]
    for name, values in maps:
        if values is not None and values.shape != size:
            raise CongealError(
                f"expected {name} of {size} pixels for {sample.name}, got {values.shape}"
            )


def _checked_classes(sample: Sample, classes: LabelMap) -> LabelMap:
    highest = int(sample.labels.max(initial=0))
    if len(classes) < highest:
        raise CongealError(
            f"expected a class for each of {highest} objects of {sample.name}, got {len(classes)}"
        )
    return classes


def _annotated_boundaries(sample: Sample) -> Tensor | None:
    """Fraction of annotators ``(H, W)``, -1 where all mark void; None without annotators."""
    if sample.boundaries:
        return torch.from_numpy(np.mean(sample.boundaries, axis=0, dtype=np.float32))
    if not sample.annotations:
        return None
    valid = np.sum([labels != VOID for labels in sample.annotations], axis=0)
    marked = np.sum([corner_boundaries(labels) for labels in sample.annotations], axis=0)
    fraction = np.where(valid > 0, marked / np.maximum(valid, 1), VOID)
    return torch.from_numpy(fraction.astype(np.float32))


def _label_boundaries(labels: Tensor) -> Tensor:
    marked = torch.from_numpy(corner_boundaries(labels.numpy()))
    return marked.float().masked_fill_(labels == VOID, VOID)


def _paint(labels: Tensor, classes: Tensor | None) -> Tensor:
    """The class of the object at each pixel; 1 in data without classes."""
    if classes is None:
        return labels.clamp_max(1)
    table = torch.cat([torch.tensor([0]), classes, torch.tensor([VOID])])  # index -1: void
    return table[labels]


def _smallest_type(semantic: Tensor) -> torch.dtype:
    highest = int(semantic.max()) if semantic.numel() else 0
    return torch.int16 if highest <= torch.iinfo(torch.int16).max else torch.int32
