"""What a training step is fed: a batch of crops with their maps, and the images it is drawn from.

Flow: ``Sample`` (as read) -> :class:`TrainingImage` (scaled, kept in memory) -> ``Augment`` ->
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
from congeal.data.sample import LabelMap, Pixels, Sample
from congeal.data.transforms import Augment
from congeal.data.view import BoundaryMap, LocationMap, pixel_locations
from congeal.data.zoom import zoom_boundaries, zoom_image, zoom_labels
from congeal.errors import CongealError, unknown
from congeal.labels import VOID, relabel
from congeal.metrics.boundary_matching import corner_boundaries

__all__ = ["MAPS", "Batch", "TrainingImage", "check_maps"]

MAPS = ("labels", "semantic", "boundaries", "location")

LARGEST_EXACT_LABEL = (
    2**24
)  # number of an object that stays exact where a transform takes it through float32


def check_maps(maps: Sequence[str]) -> tuple[str, ...]:
    """Check names of maps, and give them in the order of ``MAPS``.

    Raises:
        CongealError: there is no such map.

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
    """Images with the maps that losses need; a map that nobody asked for is None.

    All maps show the same crops. What lies outside the whole image is void in each but location.

    Attributes:
        image: `(B, C, H, W)` float32, about [0, 1], C = 3 for gray, two channels and RGB, more
            where images have more; 0 outside the whole image.
        labels: `(B, H, W)` int64, 0 background, 1..K objects, -1 void.
        semantic: `(B, H, W)` int64 class ids, 0 background, -1 void. Without classes in the data
            every object is of class 1.
        boundaries: `(B, H, W)` float32, share of the annotators who mark the pixel as boundary,
            [0, 1]; -1 void.
        location: `(B, 2, H, W)` float32, y and x of the pixel in its whole image as shares of
            height and width, [0, 1); outside the image that of its nearest pixel.

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
        """Names of the maps that are there."""
        return tuple(name for name in MAPS if getattr(self, name) is not None)

    def get(self, name: str) -> Tensor:
        """Give a map that must be there.

        Raises:
            CongealError: it is not.

        Example:
            >>> Batch(torch.zeros(1, 3, 4, 4)).get("labels")
            Traceback (most recent call last):
            ...
            congeal.errors.CongealError: expected labels in the batch, got image only
        """
        found = getattr(self, name) if name in MAPS else None
        if not isinstance(found, Tensor):
            there = ", ".join(self.maps) or "image only"
            raise CongealError(f"expected {name} in the batch, got {there}")
        return found

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(change(self.image), **{n: change(getattr(self, n)) for n in self.maps})

    def chunk(self, parts: int) -> list[Batch]:
        """Split into at most that many batches, as ``torch.chunk`` does; memory is shared."""
        size = -(-len(self) // parts)
        return [
            self._each(lambda one, first=first: one[first : first + size])  # type: ignore[misc]
            for first in range(0, len(self), size)
        ]

    def to(self, device: torch.device | str, non_blocking: bool | None = None) -> Batch:
        """Move to a device.

        Args:
            device: where to.
            non_blocking: do not wait for the copy; None: on the way to a CUDA device, where later
                operations wait by themselves.
        """
        if non_blocking is None:
            non_blocking = torch.device(device).type == "cuda"
        return self._each(lambda one: one.to(device, non_blocking=non_blocking))

    def channels_last(self) -> Batch:
        """The same, its image in the memory format that convolutions are fastest with."""
        return replace(self, image=self.image.contiguous(memory_format=torch.channels_last))

    def pin_memory(self) -> Batch:
        """Copy to page-locked memory, from which a GPU copies faster."""
        return self._each(Tensor.pin_memory)

    @staticmethod
    def collate(batches: Sequence[Batch]) -> Batch:
        """Join batches; the ``collate_fn`` of a DataLoader, also in its workers.

        Raises:
            CongealError: crops differ in size, or have not the same maps.

        Example:
            >>> one = Batch(torch.zeros(1, 3, 4, 4))
            >>> Batch.collate([one, one]).image.shape
            torch.Size([2, 3, 4, 4])
        """
        if not batches:
            raise CongealError("expected at least one crop in a batch, got none")
        sizes = sorted({tuple(one.image.shape[-2:]) for one in batches})
        if len(sizes) > 1:
            raise CongealError(f"expected crops of the same size in a batch, got {sizes}; set crop")
        if len({one.maps for one in batches}) > 1:
            raise CongealError("expected the same maps of all crops in a batch")
        names = ("image", *batches[0].maps)
        rows = {name: [row for one in batches for row in getattr(one, name)] for name in names}
        # torch's own collation writes to shared memory in a worker
        return Batch(**{name: default_collate(found) for name, found in rows.items()})


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """An image with what the maps of its crops are made of.

    Maps that follow from the labels of a crop are not kept: classes are painted by object, and
    boundaries of labels are found after resampling, so that they are one pixel thin at any scale.

    Attributes:
        image: `(C, H, W)`, C = 1 (gray) or 3.
        labels: `(H, W)` integers.
        semantic: `(H, W)` class ids, None where they follow from the labels.
        boundaries: `(H, W)` share of annotators, -1 void, None where they follow from the labels.
        classes: `(K,)` int64 class of each object, -1 where it has none, None without classes.

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
        """Network input and maps of a sample, at its own size.

        Boundaries are the mean of ``sample.boundaries``, or of the boundaries of
        ``sample.annotations``, or else those of its labels.

        Args:
            sample: image and maps.
            maps: those wanted.
            objects_only: let the semantic map hold the classes of objects and nothing else.
            percentiles: intensities that become 0 and 1.

        Raises:
            CongealError: image and maps differ in size, or objects have no entry in ``classes``.
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
        if labels.max(initial=0) > LARGEST_EXACT_LABEL:
            present = np.unique(labels[labels > 0])
            classes = None if classes is None else classes[present - 1]
            labels = relabel(labels)
        return cls(image, torch.from_numpy(labels), semantic, boundaries, classes)

    def scaled(self, scale: float) -> TrainingImage:
        """Enlarge or shrink image and maps alike (:mod:`congeal.data.zoom`)."""
        return TrainingImage(
            zoom_image(self.image, scale),
            zoom_labels(self.labels, scale),
            None if self.semantic is None else zoom_labels(self.semantic, scale),
            None if self.boundaries is None else zoom_boundaries(self.boundaries, scale),
            self.classes,
        )

    def compact(self) -> TrainingImage:
        """Store the same in less memory: gray once, half precision, short integers."""
        image = self.image[:1] if (self.image == self.image[:1]).all() else self.image
        return TrainingImage(
            image.half(),  # a quarter of a byte's worth of light is not lost
            self.labels.int(),
            None if self.semantic is None else self.semantic.to(_integers_for(self.semantic)),
            self.boundaries,  # exact: losses compare shares with thresholds such as 0.2
            self.classes,
        )

    @property
    def nbytes(self) -> int:
        """Memory of all tensors, in bytes."""
        tensors = (getattr(self, one.name) for one in fields(self))
        return sum(one.nbytes for one in tensors if one is not None)

    def draw(
        self, augment: Augment, generator: torch.Generator, maps: Sequence[str] = MAPS
    ) -> Batch:
        """Draw one crop with the maps wanted; the maps change nothing about what is drawn.

        Args:
            augment: the augmentation.
            generator: of its draws.
            maps: names out of ``MAPS``.

        Returns:
            A batch of one.
        """
        found = {"labels": self.labels, **self._stored(maps)}
        image = self.image.expand(max(3, len(self.image)), -1, -1)  # gray is kept once
        seen, *drawn = augment(image, *found.values(), generator=generator)
        found = dict(zip(found, drawn, strict=True))
        if "semantic" in maps and "semantic" not in found:
            found["semantic"] = _paint(found["labels"], self.classes)
        if "boundaries" in maps and "boundaries" not in found:
            found["boundaries"] = _label_boundaries(found["labels"])
        return Batch(seen[None], **{name: found[name][None] for name in maps})

    def _stored(self, maps: Sequence[str]) -> dict[str, Tensor]:
        """The maps wanted, labels aside, that have to be resampled."""
        found: dict[str, Tensor] = {}
        if "semantic" in maps and self.semantic is not None:
            found["semantic"] = self.semantic
        if "boundaries" in maps and self.boundaries is not None:
            found["boundaries"] = BoundaryMap(self.boundaries)
        if "location" in maps:
            found["location"] = LocationMap(pixel_locations(*self.labels.shape))
        return found


def _check_sizes(sample: Sample, size: tuple[int, int]) -> None:
    several = {"annotations": sample.annotations, "boundaries": sample.boundaries}
    maps: list[tuple[str, Pixels | None]] = [
        ("labels", sample.labels),
        ("semantic", sample.semantic),
        *((name, one) for name, drawn in several.items() for one in drawn),
    ]
    for name, one in maps:
        if one is not None and one.shape != size:
            raise CongealError(
                f"expected {name} of {size} pixels for {sample.name}, got {one.shape}"
            )


def _checked_classes(sample: Sample, classes: LabelMap) -> LabelMap:
    highest = int(sample.labels.max(initial=0))
    if len(classes) < highest:
        raise CongealError(
            f"expected a class for each of {highest} objects of {sample.name}, got {len(classes)}"
        )
    return classes


def _annotated_boundaries(sample: Sample) -> Tensor | None:
    """Share of annotators ``(H, W)``, -1 where all say void; None without annotators."""
    if sample.boundaries:
        return torch.from_numpy(np.mean(sample.boundaries, axis=0, dtype=np.float32))
    if not sample.annotations:
        return None
    known = np.sum([drawn != VOID for drawn in sample.annotations], axis=0)
    marked = np.sum([corner_boundaries(drawn) for drawn in sample.annotations], axis=0)
    share = np.where(known > 0, marked / np.maximum(known, 1), VOID)
    return torch.from_numpy(share.astype(np.float32))


def _label_boundaries(labels: Tensor) -> Tensor:
    marked = torch.from_numpy(corner_boundaries(labels.numpy()))
    return marked.float().masked_fill_(labels == VOID, VOID)


def _paint(labels: Tensor, classes: Tensor | None) -> Tensor:
    """The class of each pixel's object; 1 without classes."""
    if classes is None:
        return labels.clamp_max(1)
    table = torch.cat([torch.tensor([0]), classes, torch.tensor([VOID])])  # -1 reads the last
    return table[labels]


def _integers_for(semantic: Tensor) -> torch.dtype:
    highest = int(semantic.max()) if semantic.numel() else 0
    return torch.int16 if highest <= torch.iinfo(torch.int16).max else torch.int32
